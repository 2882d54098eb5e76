// What tlin-load is asked to do.
#ifndef TLIN_CLIENT_LOAD_FLAGS_H_
#define TLIN_CLIENT_LOAD_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "client/connection_flags.h"
#include "client/flags.h"

namespace tlin::client {

// Both ends belong to it.
struct Range {
  int64_t low = 0;
  int64_t high = 0;
};

// "128" or "64:512". nullopt for anything else, or for numbers below 1 or in
// the wrong order.
std::optional<Range> ParseRange(absl::string_view text);

struct LoadOptions {
  Connection connection;
  std::string model;
  // Open loop where above 0: arrivals a second. Else `concurrency` at a time.
  double rate = 0;
  int32_t concurrency = 1;
  // The load ends at whichever comes first; one of the two is given.
  int64_t requests = 0;                            // 0: no bound
  absl::Duration duration = absl::ZeroDuration();  // 0: no bound
  absl::Duration deadline = absl::Seconds(60);     // of each request
  Range prompt_tokens{128, 128};
  Range max_new_tokens{64, 64};
  std::string prompts;  // a file, one a line; empty: random token ids
  std::optional<float> temperature;
  bool ignore_eos = true;
  bool bypass_prefix_cache = false;
  uint64_t seed = 1;
  std::string json;  // a file, "-" for stdout, empty for none
};

// Flags on their way to LoadOptions.
class LoadFlags {
 public:
  explicit LoadFlags(FlagSet* flags);

  // After FlagSet::Parse. INVALID_ARGUMENT names the flag.
  absl::Status Get(LoadOptions* options) const;

 private:
  LoadOptions options_;
  ConnectionFlags connection_flags_;
  std::string prompt_tokens_ = "128";
  std::string max_new_tokens_ = "64";
};

}  // namespace tlin::client

#endif  // TLIN_CLIENT_LOAD_FLAGS_H_
