# fencelock through its C interface, by ctypes.
import ctypes

lib = ctypes.CDLL("libfencelock.so.0")
lib.fencelock_error_message.restype = ctypes.c_char_p

FOREVER = ctypes.c_uint64(2**64 - 1)


def call(function, *arguments):
    error = ctypes.c_void_p()
    status = function(*arguments, ctypes.byref(error))
    if status != 0:
        message = lib.fencelock_error_message(error).decode()
        lib.fencelock_error_free(error)
        raise RuntimeError(f"{message} (status {status})")


client, lease, fence = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint64()
call(lib.fencelock_connect, None, None, ctypes.byref(client))  # FENCELOCK_URL
name = b"invoice-17"
length = ctypes.c_size_t(len(name))
call(lib.fencelock_acquire, client, name, length, FOREVER, None, ctypes.byref(lease))
call(lib.fencelock_lease_fence, lease, ctypes.byref(fence))
print("writing under fence", fence.value)
call(lib.fencelock_release, lease)
lib.fencelock_lease_free(lease)
lib.fencelock_client_free(client)
