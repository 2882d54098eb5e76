// The requests of a load: the i-th is a function of seed and i alone.
#ifndef TLIN_CLIENT_LOAD_PROMPTS_H_
#define TLIN_CLIENT_LOAD_PROMPTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/load_flags.h"
#include "tlin/v1/generation.pb.h"

namespace tlin::client {

class LoadPrompts {
 public:
  // Reads the file of prompts where there is one; `vocab_size` bounds the
  // random token ids. INVALID_ARGUMENT where the file cannot be read or has no
  // line with text.
  static absl::StatusOr<LoadPrompts> Create(const LoadOptions& options,
                                            int32_t vocab_size);

  // REQUIRES: i >= 0. Thread-safe.
  v1::GenerateRequest Request(int64_t i) const;

 private:
  LoadPrompts(const LoadOptions& options, int32_t vocab_size,
              std::vector<std::string> lines)
      : options_(options), vocab_size_(vocab_size), lines_(std::move(lines)) {}

  LoadOptions options_;
  int32_t vocab_size_;
  std::vector<std::string> lines_;  // empty: random token ids
};

}  // namespace tlin::client

#endif  // TLIN_CLIENT_LOAD_PROMPTS_H_
