#include "client/load_prompts.h"

#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/load_random.h"

namespace tlin::client {
namespace {

int64_t Draw(const Range& range, LoadRandom* random) {
  const uint64_t width = static_cast<uint64_t>(range.high - range.low) + 1;
  return range.low + static_cast<int64_t>(random->Below(width));
}

}  // namespace

absl::StatusOr<LoadPrompts> LoadPrompts::Create(const LoadOptions& options,
                                                int32_t vocab_size) {
  std::vector<std::string> lines;
  if (options.prompts.empty()) {
    if (vocab_size < 1) {
      return absl::InvalidArgumentError("the server tells no vocabulary size");
    }
    return LoadPrompts(options, vocab_size, {});
  }
  std::ifstream file(options.prompts);
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) lines.push_back(std::move(line));
  }
  if (lines.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--prompts: ", options.prompts, ": no prompts to read"));
  }
  return LoadPrompts(options, vocab_size, std::move(lines));
}

v1::GenerateRequest LoadPrompts::Request(int64_t i) const {
  LoadRandom random(options_.seed, static_cast<uint64_t>(i));
  v1::GenerateRequest request;
  request.set_model(options_.model);
  request.set_bypass_prefix_cache(options_.bypass_prefix_cache);
  request.mutable_sampling()->set_seed(random.Next());
  if (options_.temperature.has_value()) {
    request.mutable_sampling()->set_temperature(*options_.temperature);
  }
  request.mutable_stopping()->set_ignore_eos(options_.ignore_eos);
  request.mutable_stopping()->set_max_new_tokens(
      static_cast<int32_t>(Draw(options_.max_new_tokens, &random)));
  if (!lines_.empty()) {
    request.set_text(lines_[static_cast<size_t>(i) % lines_.size()]);
    return request;
  }
  // Text is of no interest, so a model without a tokenizer will do.
  request.mutable_output()->set_token_ids_only(true);
  const int64_t length = Draw(options_.prompt_tokens, &random);
  auto* ids = request.mutable_token_ids()->mutable_ids();
  ids->Reserve(static_cast<int>(length));
  for (int64_t k = 0; k < length; ++k) {
    ids->Add(static_cast<int32_t>(random.Below(vocab_size_)));
  }
  return request;
}

}  // namespace tlin::client
