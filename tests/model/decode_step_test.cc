// A decode step that chooses its tokens itself, which a backend may record and
// run as a whole: the tokens are those that its logits say, step after step,
// whatever its sequences, their lengths and the syncs beside them.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/sampling/sampler.h"
#include "gtest/gtest.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/random_config.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

constexpr int kSequences = 6;
constexpr int kSteps = 8;

// A model with sequences in all of its slots.
class Sequences {
 public:
  Sequences(const ModelConfig& config, DType dtype)
      : config_(config), tokens_(kSequences) {
    ModelOptions options;
    options.slots = kSequences;
    options.max_context_tokens = 2000;
    options.history_tokens = 8000;
    model_ = MakeSeededModel(config, 3, options, dtype);
    for (SlotId slot = 0; slot < kSequences; ++slot) {
      model_->Open(slot, 1200);
      // Reserved: plans borrow them.
      tokens_[static_cast<size_t>(slot)].reserve(1200);
    }
  }

  std::vector<TokenId>& tokens(SlotId slot) {
    return tokens_[static_cast<size_t>(slot)];
  }

  // Feeds the newest token of each of `decoding`, beside the sync of `syncing`
  // (or of none).
  void Run(const std::vector<SlotId>& decoding, SlotId syncing,
           WindowRows::Logits wanted, const std::vector<SampleRow>& samples,
           StepOutput* output) {
    StepPlan plan;
    for (const SlotId slot : decoding) {
      const auto all = absl::MakeConstSpan(tokens(slot));
      plan.decode.push_back({slot, all.last(1), wanted,
                             all.first(static_cast<size_t>(
                                 model_->Extent(slot).history_tokens))});
    }
    if (wanted == WindowRows::Logits::kSample) plan.samples = samples;
    if (syncing >= 0) plan.sync.push_back({syncing, int64_t{1} << 40});
    ASSERT_TRUE(model_->Run(plan, output).ok());
  }

  // The newest token is to join a window that is full.
  bool MustSync(SlotId slot) const {
    return config_.has_windows() &&
           model_->Extent(slot).window_tokens == config_.generation_window;
  }
  void BeginSync(SlotId slot) {
    const auto all = absl::MakeConstSpan(tokens(slot));
    model_->BeginSync(slot, all.first(all.size() - 1));
  }
  // Feeds what is there: all whole windows by one sync, then the rest.
  void Feed(SlotId slot) {
    const auto all = absl::MakeConstSpan(tokens(slot));
    const size_t window = config_.has_windows()
                              ? static_cast<size_t>(config_.generation_window)
                              : all.size() + 1;
    const size_t history = all.size() / window * window;
    StepOutput output;
    if (history > 0) {
      model_->BeginSync(slot, all.first(history));
      StepPlan plan;
      plan.sync.push_back({slot, int64_t{1} << 40});
      ASSERT_TRUE(model_->Run(plan, &output).ok());
    }
    for (size_t at = history; at < all.size(); at += 256) {
      StepPlan plan;
      plan.fill.push_back({slot, all.subspan(at, 256),
                           WindowRows::Logits::kNone, all.first(history)});
      ASSERT_TRUE(model_->Run(plan, &output).ok());
    }
  }

 private:
  const ModelConfig config_;
  std::unique_ptr<Model> model_;
  std::vector<std::vector<TokenId>> tokens_;
};

ModelConfig ConfigOf(Architecture architecture) {
  ModelConfig config;
  config.architecture = architecture;
  config.n_embd = 32;
  config.n_head = 2;
  config.vocab_size = 300;
  if (architecture == Architecture::kTransformer) {
    config.n_layer = 3;
    return config;
  }
  config.n_block = 2;
  config.block_depth = 3;
  config.history_window = 8;
  config.generation_window = 12;
  return config;
}

struct Case {
  std::string name;
  ModelConfig config;
  DType dtype;
};

class DecodeStepTest : public ::testing::TestWithParam<Case> {};

TEST_P(DecodeStepTest, ChoosesWhatItsLogitsSay) {
  const ModelConfig config = GetParam().config;
  const DType dtype = GetParam().dtype;
  Sequences chosen(config, dtype), read(config, dtype);
  // From nothing to several tiles of history.
  const int64_t lengths[kSequences] = {0, 1, 11, 36, 71, 300};
  for (SlotId slot = 0; slot < kSequences; ++slot) {
    for (Sequences* sequences : {&chosen, &read}) {
      sequences->tokens(slot) = SeededTokens(static_cast<uint64_t>(slot) + 1,
                                             lengths[slot], config.vocab_size);
      sequences->Feed(slot);
      sequences->tokens(slot).push_back(slot + 1);
    }
  }
  Sampler sampler(config.vocab_size);
  for (int step = 0; step < kSteps; ++step) {
    // One of them syncs at a time; who needs to, and cannot, waits.
    std::vector<SlotId> decoding;
    SlotId syncing = -1;
    for (SlotId slot = 0; slot < kSequences; ++slot) {
      if (chosen.MustSync(slot)) {
        if (syncing < 0) syncing = slot;
      } else if ((slot + step) % 4 != 0) {
        decoding.push_back(slot);
      }
    }
    if (syncing >= 0) {
      chosen.BeginSync(syncing);
      read.BeginSync(syncing);
    }
    std::vector<SampleRow> samples(decoding.size());
    for (size_t i = 0; i < samples.size(); ++i) {
      samples[i].sampling.seed = 7;
      samples[i].sampling.top_k = static_cast<int32_t>(i) * 20;
      samples[i].position =
          static_cast<int64_t>(chosen.tokens(decoding[i]).size());
      samples[i].logprobs = 3;
    }
    StepOutput tokens, logits;
    chosen.Run(decoding, syncing, WindowRows::Logits::kSample, samples,
               &tokens);
    read.Run(decoding, syncing, WindowRows::Logits::kLast, samples, &logits);
    ASSERT_EQ(tokens.tokens.size(), decoding.size());
    for (size_t i = 0; i < decoding.size(); ++i) {
      SampledToken expected;
      sampler.Sample(logits.logits.row(static_cast<int32_t>(i)), samples[i],
                     &expected);
      const SampledToken& token = tokens.tokens[i];
      ASSERT_EQ(token.token, expected.token) << step << " " << decoding[i];
      ASSERT_EQ(token.rank, expected.rank);
      ASSERT_NEAR(token.logprob, expected.logprob, 1e-5);
      ASSERT_NEAR(token.top[2].logprob, expected.top[2].logprob, 1e-5);
      chosen.tokens(decoding[i]).push_back(token.token);
      read.tokens(decoding[i]).push_back(token.token);
    }
  }
}

std::vector<Case> Architectures() {
  std::vector<Case> cases;
  for (const Architecture architecture :
       {Architecture::kTLinFormer, Architecture::kTConstFormer,
        Architecture::kTransformer}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      cases.push_back(
          {absl::StrCat(ArchitectureName(architecture), "_", DTypeName(dtype)),
           ConfigOf(architecture), dtype});
    }
  }
  return cases;
}

// Heads of any even size, blocks, depths, windows of one token, history_window
// "auto", derived histories.
std::vector<Case> RandomConfigs() {
  std::vector<Case> cases;
  for (uint32_t seed = 1; seed <= 10; ++seed) {
    cases.push_back({absl::StrCat("seed_", seed), RandomConfig(seed),
                     seed % 2 == 0 ? DType::kF32 : DType::kBF16});
  }
  return cases;
}

std::string NameOf(const ::testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Architectures, DecodeStepTest,
                         ::testing::ValuesIn(Architectures()), NameOf);
INSTANTIATE_TEST_SUITE_P(Random, DecodeStepTest,
                         ::testing::ValuesIn(RandomConfigs()), NameOf);

}  // namespace
}  // namespace tlin
