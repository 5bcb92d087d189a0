// fencelock for C++17: owners for the handles of fencelock.h, with exceptions or std::error_code.
// Header only; link with -lfencelock. Times are std::chrono durations, whole ms.
//
// Each call comes twice: one throws fencelock::error, the other takes a std::error_code& at its end
// and does not throw (std::bad_alloc apart).
#ifndef FENCELOCK_HPP
#define FENCELOCK_HPP

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "fencelock.h"

namespace fencelock {

/// What went wrong: the status codes of fencelock.h.
enum class errc : int {
  acquire_timeout = FENCELOCK_ACQUIRE_TIMEOUT,
  would_deadlock = FENCELOCK_WOULD_DEADLOCK,
  not_held = FENCELOCK_NOT_HELD,
  lost = FENCELOCK_LOST,
  unavailable = FENCELOCK_UNAVAILABLE,
  denied = FENCELOCK_DENIED,
  cancelled = FENCELOCK_CANCELLED,
  closed = FENCELOCK_CLOSED,
  invalid_argument = FENCELOCK_INVALID_ARGUMENT,
  unsupported = FENCELOCK_UNSUPPORTED,
  backend = FENCELOCK_BACKEND,
  internal = FENCELOCK_INTERNAL,
};

/// Why a lease was lost.
enum class loss : int {
  none = FENCELOCK_LOSS_NONE,
  expired = FENCELOCK_LOSS_EXPIRED,
  refused = FENCELOCK_LOSS_REFUSED,
  max_hold = FENCELOCK_LOSS_MAX_HOLD,
  closed = FENCELOCK_LOSS_CLOSED,
  forked = FENCELOCK_LOSS_FORKED,
  session = FENCELOCK_LOSS_SESSION,
};

} // namespace fencelock

template <> struct std::is_error_code_enum<fencelock::errc> : std::true_type {};

namespace fencelock {

/// The category of fencelock's error codes; timed_out, invalid_argument and operation_canceled of
/// std::errc are recognised, too.
inline const std::error_category &category() noexcept {
  class category_of_fencelock final : public std::error_category {
    const char *name() const noexcept override { return "fencelock"; }

    std::string message(int code) const override {
      static const char *const texts[] = {
          "success",       "acquire timeout",  "would deadlock", "not held",
          "lost",          "unavailable",      "denied",         "cancelled",
          "closed",        "invalid argument", "unsupported",    "error of the server",
          "internal error"};
      return code >= 0 && code <= FENCELOCK_INTERNAL ? texts[code] : "unknown";
    }

    std::error_condition default_error_condition(int code) const noexcept override {
      switch (code) {
      case FENCELOCK_ACQUIRE_TIMEOUT:
        return std::errc::timed_out;
      case FENCELOCK_INVALID_ARGUMENT:
        return std::errc::invalid_argument;
      case FENCELOCK_CANCELLED:
        return std::errc::operation_canceled;
      default:
        return {code, *this};
      }
    }
  };
  static const category_of_fencelock instance;
  return instance;
}

inline std::error_code make_error_code(errc code) noexcept {
  return {static_cast<int>(code), category()};
}

/// What went wrong, with which lock, and what to do: what() says it.
class error : public std::system_error {
public:
  error(int code, std::string message, std::string lock = {}, fencelock::loss loss = loss::none,
        bool retryable = false, bool ambiguous = false)
      : std::system_error(code, category()), message_(std::move(message)), lock_(std::move(lock)),
        loss_(loss), retryable_(retryable), ambiguous_(ambiguous) {}

  const char *what() const noexcept override { return message_.c_str(); }

  /// The lock that it is about, empty if it is about none.
  const std::string &lock() const noexcept { return lock_; }
  /// Why the lease was lost; none unless the code is errc::lost.
  fencelock::loss loss() const noexcept { return loss_; }
  /// Whether the same call may succeed later.
  bool retryable() const noexcept { return retryable_; }
  /// Whether the command may have been carried out although its answer never came.
  bool ambiguous() const noexcept { return ambiguous_; }

private:
  std::string message_, lock_;
  fencelock::loss loss_;
  bool retryable_, ambiguous_;
};

namespace detail {

template <class T, std::int32_t (*Free)(T *)> struct freed {
  void operator()(T *handle) const noexcept { Free(handle); }
};

template <class T, std::int32_t (*Free)(T *)> using owned = std::unique_ptr<T, freed<T, Free>>;

using error_handle = owned<fencelock_error, fencelock_error_free>;

// Makes an exception of a status and what describes it.
inline void check(std::int32_t status, fencelock_error *described) {
  if (status == FENCELOCK_OK)
    return;
  const error_handle owner(described);
  if (!described)
    throw error(status, category().message(status));
  const char *name = nullptr;
  std::size_t length = 0;
  std::int32_t reason = FENCELOCK_LOSS_NONE, retryable = 0, ambiguous = 0;
  fencelock_error_lock(described, &name, &length);
  fencelock_error_loss(described, &reason);
  fencelock_error_retryable(described, &retryable);
  fencelock_error_ambiguous(described, &ambiguous);
  throw error(status, fencelock_error_message(described),
              name ? std::string(name, length) : std::string(), static_cast<loss>(reason),
              retryable != 0, ambiguous != 0);
}

// Calls with a place for the error, and throws it.
template <class Call> void throwing(Call call) {
  fencelock_error *described = nullptr;
  const std::int32_t status = call(&described);
  check(status, described);
}

template <class Call> bool coded(std::error_code &code, Call call) {
  const std::int32_t status = call();
  code = status == FENCELOCK_OK ? std::error_code() : std::error_code(status, category());
  return status == FENCELOCK_OK;
}

inline std::uint64_t ms(std::optional<std::chrono::milliseconds> time) {
  if (!time)
    return FENCELOCK_FOREVER;
  if (time->count() < 0)
    throw error(FENCELOCK_INVALID_ARGUMENT, "a duration is negative");
  return static_cast<std::uint64_t>(time->count());
}

} // namespace detail

/// Ends waits from another thread: fire() does, once and for good.
class CancelToken {
public:
  CancelToken() {
    detail::throwing([&](fencelock_error **error) {
      fencelock_cancel *made = nullptr;
      const auto status = fencelock_cancel_new(&made, error);
      handle_.reset(made);
      return status;
    });
  }

  void fire() noexcept { fencelock_cancel_fire(handle_.get(), nullptr); }
  fencelock_cancel *handle() const noexcept { return handle_.get(); }

private:
  detail::owned<fencelock_cancel, fencelock_cancel_free> handle_;
};

/// How a lock is taken and held; what is not set has its default. Each setter gives the options
/// back.
class Options {
public:
  Options() {
    detail::throwing([&](fencelock_error **error) {
      fencelock_options *made = nullptr;
      const auto status = fencelock_options_new(&made, error);
      handle_.reset(made);
      return status;
    });
  }

  /// 50 ms to 24 h, with renewal at most 1 h. Default 10 s.
  Options &ttl(std::chrono::milliseconds time) {
    return set([&](auto error) {
      return fencelock_options_set_ttl_ms(handle(), detail::ms(time), error);
    });
  }
  /// Whether it is renewed in the background. Default true.
  Options &renew(bool renew) {
    return set([&](auto error) { return fencelock_options_set_renew(handle(), renew, error); });
  }
  /// The longest time that renewal keeps a lease. Default none.
  Options &max_hold(std::chrono::milliseconds time) {
    return set([&](auto error) {
      return fencelock_options_set_max_hold_ms(handle(), detail::ms(time), error);
    });
  }
  /// What Client::inspect shows of the holder; at most 128 bytes.
  Options &label(std::string_view label) {
    return set([&](auto error) {
      return fencelock_options_set_label(handle(), label.data(), label.size(), error);
    });
  }
  /// What ends a wait with these options.
  Options &cancel(const CancelToken &token) {
    return set(
        [&](auto error) { return fencelock_options_set_cancel(handle(), token.handle(), error); });
  }

  fencelock_options *handle() const noexcept { return handle_.get(); }

private:
  template <class Call> Options &set(Call call) {
    detail::throwing(call);
    return *this;
  }

  detail::owned<fencelock_options, fencelock_options_free> handle_;
};

/// How a client connects; what is not set has its default. For TLS: the functions of fencelock.h
/// with handle().
class ClientOptions {
public:
  ClientOptions() {
    detail::throwing([&](fencelock_error **error) {
      fencelock_client_options *made = nullptr;
      const auto status = fencelock_client_options_new(&made, error);
      handle_.reset(made);
      return status;
    });
  }

  /// Put before every lock's name. Default none.
  ClientOptions &prefix(std::string_view prefix) {
    return set([&](auto error) {
      return fencelock_client_options_set_prefix(handle(), prefix.data(), prefix.size(), error);
    });
  }
  /// Default 5 s.
  ClientOptions &connect_timeout(std::chrono::milliseconds time) {
    return set([&](auto error) {
      return fencelock_client_options_set_connect_timeout_ms(handle(), detail::ms(time), error);
    });
  }
  /// Default 5 s.
  ClientOptions &response_timeout(std::chrono::milliseconds time) {
    return set([&](auto error) {
      return fencelock_client_options_set_response_timeout_ms(handle(), detail::ms(time), error);
    });
  }
  /// Connects when it is used first. Default false.
  ClientOptions &lazy(bool lazy) {
    return set(
        [&](auto error) { return fencelock_client_options_set_lazy(handle(), lazy, error); });
  }
  /// What ends connecting.
  ClientOptions &cancel(const CancelToken &token) {
    return set([&](auto error) {
      return fencelock_client_options_set_cancel(handle(), token.handle(), error);
    });
  }

  fencelock_client_options *handle() const noexcept { return handle_.get(); }

private:
  template <class Call> ClientOptions &set(Call call) {
    detail::throwing(call);
    return *this;
  }

  detail::owned<fencelock_client_options, fencelock_client_options_free> handle_;
};

/// One holding of a lock. Move-only; the end of its life releases it in the background, if it is
/// held. After a move, and made by default, it is empty: is_held() is false, calls are refused.
class Lease {
public:
  Lease() = default;
  /// Takes over a lease of fencelock.h.
  explicit Lease(fencelock_lease *handle) noexcept : handle_(handle) {}

  explicit operator bool() const noexcept { return is_held(); }

  /// Larger than that of every earlier lease of this lock; 0 if empty.
  std::uint64_t fence() const noexcept {
    std::uint64_t fence = 0;
    fencelock_lease_fence(handle(), &fence, nullptr);
    return fence;
  }
  /// Whether the lock is held at this moment.
  bool is_held() const noexcept {
    std::int32_t held = 0;
    fencelock_lease_is_held(handle(), &held, nullptr);
    return held != 0;
  }
  /// How long it still lasts unless it is renewed.
  std::chrono::milliseconds remaining() const noexcept {
    std::uint64_t left = 0;
    fencelock_lease_remaining_ms(handle(), &left, nullptr);
    return std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(left));
  }
  /// Why it was lost, if it was.
  fencelock::loss lost_reason() const noexcept {
    std::int32_t reason = FENCELOCK_LOSS_NONE;
    fencelock_lease_lost_reason(handle(), &reason, nullptr);
    return static_cast<fencelock::loss>(reason);
  }

  /// Throws once the lock is not held any more.
  void check() const {
    detail::throwing([&](auto error) { return fencelock_lease_check(handle(), error); });
  }
  bool check(std::error_code &code) const noexcept {
    return detail::coded(code, [&] { return fencelock_lease_check(handle(), nullptr); });
  }
  /// Renews it now, for its full TTL.
  void renew() {
    detail::throwing([&](auto error) { return fencelock_lease_renew(handle(), error); });
  }
  bool renew(std::error_code &code) noexcept {
    return detail::coded(code, [&] { return fencelock_lease_renew(handle(), nullptr); });
  }
  /// Gives the lock back, and tells how that went.
  void release() {
    detail::throwing([&](auto error) { return fencelock_release(handle(), error); });
  }
  bool release(std::error_code &code) noexcept {
    return detail::coded(code, [&] { return fencelock_release(handle(), nullptr); });
  }

  fencelock_lease *handle() const noexcept { return handle_.get(); }

private:
  detail::owned<fencelock_lease, fencelock_lease_free> handle_;
};

/// One server: gives locks. Move-only, usable from any thread. The end of its life leaves leases as
/// they are; close() releases them.
class Client {
public:
  /// Empty; calls are refused.
  Client() = default;

  /// Connects: to the URL in FENCELOCK_URL.
  static Client connect() { return connect_to(nullptr, nullptr); }
  static Client connect(const std::string &url) { return connect_to(url.c_str(), nullptr); }
  static Client connect(const std::string &url, const ClientOptions &options) {
    return connect_to(url.c_str(), options.handle());
  }
  static Client connect(const std::string &url, std::error_code &code) {
    return connect_to(url.c_str(), nullptr, code);
  }
  static Client connect(const std::string &url, const ClientOptions &options,
                        std::error_code &code) {
    return connect_to(url.c_str(), options.handle(), code);
  }

  /// Takes a lock, waiting in line for it: without limit, unless told how long.
  Lease acquire(std::string_view name, std::optional<std::chrono::milliseconds> timeout = {}) {
    return take(name, timeout, nullptr);
  }
  Lease acquire(std::string_view name, const Options &options,
                std::optional<std::chrono::milliseconds> timeout = {}) {
    return take(name, timeout, options.handle());
  }
  Lease acquire(std::string_view name, std::optional<std::chrono::milliseconds> timeout,
                std::error_code &code) {
    return take(name, timeout, nullptr, code);
  }
  Lease acquire(std::string_view name, const Options &options,
                std::optional<std::chrono::milliseconds> timeout, std::error_code &code) {
    return take(name, timeout, options.handle(), code);
  }

  /// Takes a lock if it is free at this moment; nothing if it is not.
  std::optional<Lease> try_acquire(std::string_view name) { return attempt(name, nullptr); }
  std::optional<Lease> try_acquire(std::string_view name, const Options &options) {
    return attempt(name, options.handle());
  }
  std::optional<Lease> try_acquire(std::string_view name, std::error_code &code) {
    return attempt(name, nullptr, code);
  }
  std::optional<Lease> try_acquire(std::string_view name, const Options &options,
                                   std::error_code &code) {
    return attempt(name, options.handle(), code);
  }

  /// Ends every wait, releases every lease and closes the connections.
  void close() {
    detail::throwing([&](auto error) { return fencelock_client_close(handle(), error); });
  }

  fencelock_client *handle() const noexcept { return handle_.get(); }

private:
  static Client connect_to(const char *url, const fencelock_client_options *options) {
    Client made;
    detail::throwing([&](auto error) { return made.open(url, options, error); });
    return made;
  }

  static Client connect_to(const char *url, const fencelock_client_options *options,
                           std::error_code &code) {
    Client made;
    detail::coded(code, [&] { return made.open(url, options, nullptr); });
    return made;
  }

  std::int32_t open(const char *url, const fencelock_client_options *options,
                    fencelock_error **error) {
    fencelock_client *made = nullptr;
    const auto status = fencelock_connect(url, options, &made, error);
    handle_.reset(made);
    return status;
  }

  Lease take(std::string_view name, std::optional<std::chrono::milliseconds> timeout,
             const fencelock_options *options) {
    fencelock_lease *lease = nullptr;
    detail::throwing([&](auto error) {
      return fencelock_acquire(handle(), name.data(), name.size(), detail::ms(timeout), options,
                               &lease, error);
    });
    return Lease(lease);
  }

  Lease take(std::string_view name, std::optional<std::chrono::milliseconds> timeout,
             const fencelock_options *options, std::error_code &code) {
    fencelock_lease *lease = nullptr;
    if (timeout && timeout->count() < 0)
      code = errc::invalid_argument;
    else
      detail::coded(code, [&] {
        return fencelock_acquire(handle(), name.data(), name.size(), detail::ms(timeout), options,
                                 &lease, nullptr);
      });
    return Lease(lease);
  }

  std::optional<Lease> attempt(std::string_view name, const fencelock_options *options,
                               std::error_code &code) {
    fencelock_lease *lease = nullptr;
    detail::coded(code, [&] {
      return fencelock_try_acquire(handle(), name.data(), name.size(), options, &lease, nullptr);
    });
    return lease ? std::optional<Lease>(lease) : std::nullopt;
  }

  std::optional<Lease> attempt(std::string_view name, const fencelock_options *options) {
    fencelock_lease *lease = nullptr;
    detail::throwing([&](auto error) {
      return fencelock_try_acquire(handle(), name.data(), name.size(), options, &lease, error);
    });
    return lease ? std::optional<Lease>(lease) : std::nullopt;
  }

  detail::owned<fencelock_client, fencelock_client_free> handle_;
};

} // namespace fencelock

#endif
