// The same in C++17: scopes release, errors are exceptions.
#include <fencelock.hpp>
#include <iostream>

using namespace std::chrono_literals;

int main() {
  try {
    auto client = fencelock::Client::connect(); // FENCELOCK_URL, or connect("redis://…")
    {
      auto lease = client.acquire("invoice-17", fencelock::Options().ttl(10s), 5s);
      std::cout << "writing under fence " << lease.fence() << '\n';
      lease.check();   // throws once the lease is lost
      lease.release(); // tells how it went; without it the scope's end releases in the background
    }
    if (auto lease = client.try_acquire("invoice-17")) // does not wait
      std::cout << "free, so taken\n";

    std::error_code code; // or without exceptions
    auto lease = client.acquire("invoice-17", 5s, code);
    if (code == std::errc::timed_out)
      std::cout << "somebody has it\n";
    lease.release(code);
    client.close();
  } catch (const fencelock::error &error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
