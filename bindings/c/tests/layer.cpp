// The C++ layer: moves, scopes, exceptions and codes.
#include "check.h"
#include <fencelock.hpp>
#include <type_traits>

using namespace std::chrono_literals;
using fencelock::errc;

static_assert(!std::is_copy_constructible_v<fencelock::Lease>);
static_assert(!std::is_copy_constructible_v<fencelock::Client>);
static_assert(std::is_nothrow_move_constructible_v<fencelock::Lease>);
static_assert(std::is_nothrow_move_assignable_v<fencelock::Client>);

template <class Call> static fencelock::error thrown(Call call) {
  try {
    call();
  } catch (const fencelock::error &error) {
    return error;
  }
  CHECK(!"nothing was thrown");
  abort();
}

static void a_scope_releases(fencelock::Client &client) {
  {
    auto lease = client.acquire("a", fencelock::Options().ttl(5s).label("me"), 5s);
    CHECK(lease && lease.is_held() && lease.fence() > 0 && lease.remaining() <= 5s);
    CHECK(!client.try_acquire("a"));
    auto moved = std::move(lease);
    CHECK(!lease.is_held() && moved.is_held());
    CHECK(thrown([&] { lease.check(); }).code() == errc::invalid_argument);
    moved.renew();
  }
  auto again = client.acquire("a", 5s); // the scope's release is in the background
  CHECK(again.is_held());
  again.release();
  CHECK(thrown([&] { again.release(); }).code() == errc::not_held);
  again = client.acquire("a");
  CHECK(again.is_held());
}

static void errors_are_exceptions_or_codes(fencelock::Client &client) {
  auto holder = client.try_acquire("b");
  CHECK(holder && holder->is_held());
  auto error = thrown([&] { client.acquire("b", 0ms); });
  CHECK(error.code() == errc::acquire_timeout && error.code() == std::errc::timed_out);
  CHECK(error.lock() == "b" && error.retryable() && !error.ambiguous());
  CHECK(error.loss() == fencelock::loss::none && strstr(error.what(), "\"b\"") != nullptr);
  std::error_code code;
  CHECK(!client.acquire("b", 0ms, code) && code == errc::acquire_timeout);
  CHECK(!client.try_acquire("b", code) && !code);
  CHECK(!client.acquire("b", fencelock::Options().ttl(5s), 0ms, code));
  CHECK(code == errc::acquire_timeout);
  CHECK(!client.acquire("b", -1ms, code) && code == errc::invalid_argument);
  CHECK(!client.try_acquire("b", fencelock::Options().ttl(1ms), code));
  CHECK(code == errc::invalid_argument);
  CHECK(holder->check(code) && holder->renew(code) && holder->release(code) && !code);
  CHECK(!holder->check(code) && code == errc::not_held);
  CHECK(thrown([&] { client.acquire("b", -1ms); }).code() == std::errc::invalid_argument);
  fencelock::Client::connect("gopher://x", code);
  CHECK(code == errc::invalid_argument && code.message() == "invalid argument");
  CHECK(thrown([] { fencelock::Client().close(); }).code() == errc::invalid_argument);
}

static void a_token_cancels(fencelock::Client &client) {
  fencelock::CancelToken token;
  auto options = std::move(fencelock::Options().max_hold(1h).renew(true).cancel(token));
  token.fire();
  CHECK(thrown([&] { client.acquire("c", options); }).code() == std::errc::operation_canceled);
}

int main() {
  auto client = fencelock::Client::connect();
  a_scope_releases(client);
  errors_are_exceptions_or_codes(client);
  a_token_cancels(client);
  fencelock::ClientOptions options;
  options.prefix("p:").connect_timeout(4s).response_timeout(4s).lazy(true);
  auto other = fencelock::Client::connect(getenv("FENCELOCK_URL"), options);
  auto lease = other.acquire("d");
  CHECK(!client.try_acquire("p:d"));
  client.close();
  CHECK(lease.is_held());
}
