// Every field of a GenerateRequest as a flag. What is not given is not sent:
// the server's defaults hold.
#ifndef TLIN_CLIENT_REQUEST_FLAGS_H_
#define TLIN_CLIENT_REQUEST_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/flags.h"
#include "tlin/v1/generation.pb.h"

namespace tlin::client {

// Sampling and stopping, which `generate` and `chat` share.
struct SamplingFlags {
  std::string model;
  std::optional<float> temperature, top_p, min_p;
  std::optional<int32_t> top_k;
  std::optional<float> repetition_penalty, frequency_penalty, presence_penalty;
  std::optional<uint64_t> seed;
  std::optional<int32_t> max_new_tokens, min_new_tokens;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  std::optional<bool> ignore_eos;
  std::optional<int32_t> priority;
  bool bypass_prefix_cache = false;

  void AddTo(FlagSet* flags);
  void FillIn(v1::GenerateRequest* request) const;
};

// The rest: `generate` only.
struct RequestFlags : SamplingFlags {
  std::vector<int32_t> token_ids;
  std::string session_id;
  std::optional<bool> include_stop;
  std::optional<int32_t> logprobs;
  std::optional<bool> token_ids_only;

  void AddTo(FlagSet* flags);
  void FillIn(v1::GenerateRequest* request) const;
};

}  // namespace tlin::client

#endif  // TLIN_CLIENT_REQUEST_FLAGS_H_
