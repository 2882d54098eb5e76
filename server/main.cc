// tlind: flags -> daemon -> wait -> drain. Exit status: 0 after a drain, 1
// where it cannot serve, 2 for bad flags, 3 where the engine hung in the drain,
// 128 + N after a second signal N.
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "server/daemon.h"
#include "server/flags.h"
#include "server/signal_waiter.h"
#include "server/version.h"

namespace {

// What is larger is mapped by itself and goes back to the system when it is
// freed. Otherwise states and snapshots of some megabytes, which come and go on
// several threads, leave the heap full of holes.
constexpr int kMappedBytes = 128 << 10;

}  // namespace

int main(int argc, char** argv) {
  mallopt(M_MMAP_THRESHOLD, kMappedBytes);
  const auto flags =
      tlin::ParseFlags(std::vector<std::string>(argv + 1, argv + argc));
  if (!flags.ok()) {
    std::fprintf(stderr, "tlind: %s\n",
                 std::string(flags.status().message()).c_str());
    return 2;
  }
  if (flags->help) return std::fputs(tlin::FlagsHelp().c_str(), stdout) < 0;
  if (flags->version) return std::printf("tlind %s\n", tlin::kVersion) < 0;

  tlin::SignalWaiter signals;
  const auto daemon = tlin::Daemon::Start(*flags);
  if (!daemon.ok()) {
    std::fprintf(stderr, "tlind: %s\n",
                 std::string(daemon.status().message()).c_str());
    return 1;
  }
  std::puts((*daemon)->ReadyLine().c_str());
  std::fflush(stdout);
  signals.Wait();
  if (!(*daemon)->Drain()) std::_Exit(3);  // destructors would wait for it
  return 0;
}
