// The demo models as they are served: what bf16 costs beside f32.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "engine/load_engine.h"
#include "gtest/gtest.h"
#include "tests/testing/model_driver.h"

namespace tlin {
namespace {

// Tokens of a sequence that is scored: several windows, as in training.
constexpr size_t kLength = 1024;

std::string SourcePath(const std::string& path) {
  return std::string(TLIN_SOURCE_DIR) + "/" + path;
}

std::string ReadText(const std::string& path) {
  std::ifstream file(SourcePath(path), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// -ln p(token) by a row of logits.
double Nats(const std::vector<float>& logits, TokenId token) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit});
  return std::log(sum) - logits[static_cast<size_t>(token)];
}

// Teacher-forced perplexity a token, sequence by sequence.
double Perplexity(const std::string& name, const std::string& dtype,
                  const std::string& text) {
  LoadOptions options;
  options.model_directory = SourcePath("deploy/models/" + name);
  options.device = "cpu";
  options.dtype = dtype;
  options.slots = 1;
  options.max_context_tokens = kLength;
  const auto loaded = LoadModel(options);
  if (!loaded.ok()) {
    ADD_FAILURE() << loaded.status();
    return 0;
  }
  const std::vector<TokenId> tokens = loaded->tokenizer->Encode(text);
  double nats = 0;
  int64_t predicted = 0;
  for (size_t begin = 0; begin + 1 < tokens.size(); begin += kLength) {
    const auto sequence =
        absl::MakeConstSpan(tokens).subspan(begin, kLength + 1);
    SequenceDriver driver(loaded->model.get(), 0, kLength);
    const auto rows = driver.Score(sequence.first(sequence.size() - 1));
    for (size_t i = 0; i < rows.size(); ++i, ++predicted) {
      nats += Nats(rows[i], sequence[i + 1]);
    }
  }
  return std::exp(nats / static_cast<double>(predicted));
}

class DemoModelTest : public testing::TestWithParam<const char*> {};

// Of text that no demo model was trained on: documents that
// deploy/models/corpus.py holds out.
TEST_P(DemoModelTest, Bf16LosesLessThanHalfAPercent) {
  const std::string text = ReadText("tests/models/held_out.txt");
  ASSERT_GT(text.size(), 50000u);
  const double f32 = Perplexity(GetParam(), "f32", text);
  const double bf16 = Perplexity(GetParam(), "bf16", text);
  std::printf("%s: perplexity f32 %.3f, bf16 %.3f (%+.3f %%)\n", GetParam(),
              f32, bf16, 100 * (bf16 / f32 - 1));
  EXPECT_LT(f32, 30);  // a model that has learned nothing: 2048
  EXPECT_NE(bf16, f32) << "bf16 was not taken";
  EXPECT_NEAR(bf16 / f32, 1.0, 0.005);
}

INSTANTIATE_TEST_SUITE_P(All, DemoModelTest,
                         testing::Values("tlin-demo", "tconst-demo",
                                         "transformer-demo"));

}  // namespace
}  // namespace tlin
