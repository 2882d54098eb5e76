// Shapes, closed forms and the weight file: what is right, and what hostile or
// broken files are told.
#include "engine/model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/model/cost_model.h"
#include "engine/model/model.h"
#include "engine/model/safetensors.h"
#include "engine/model/weights.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

using testing::HasSubstr;

constexpr char kLarge[] =
    R"({"architecture":"tconstformer","vocab_size":50257,"n_embd":432,
        "n_head":12,"n_block":2,"block_depth":4,"history_window":256,
        "generation_window":256})";

std::string With(const std::string& field, const std::string& value) {
  std::string json = kLarge;
  const size_t begin = json.find("\"" + field + "\":") + field.size() + 3;
  return json.replace(begin, json.find_first_of(",}", begin) - begin, value);
}

TEST(ConfigTest, ThePapersModelHas41MillionParametersAndASlotOf6MB) {
  const auto config = ParseModelConfig(kLarge, "config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->ffn_size(), 1280);
  EXPECT_NEAR(static_cast<double>(config->ParameterCount()), 41e6, 1e6);
  EXPECT_EQ(SlotBytes(*config, DType::kBF16, 1 << 20),
            (6 * 256 + 8 * 256) * 2 * 432 * 2);
  // FACTS of the design: 6.9 MFLOP a history token.
  EXPECT_NEAR(
      (SyncFlops(*config, 2000000) - SyncFlops(*config, 1000000)) / 1e12, 6.9,
      0.1);
}

TEST(ConfigTest, AutoWindowsFollowTheHistory) {
  auto config = *ParseModelConfig(With("history_window", "\"auto\""), "c");
  EXPECT_EQ(config.HistoryWindow(1000), 64);  // (8.33 ln 1000 + 7) / 8 = 8.06
  config.architecture = Architecture::kTLinFormer;
  EXPECT_EQ(config.HistoryWindow(1000), 88);  // (12 ln 1000 + 7) / 8 = 11.2
}

TEST(ConfigTest, EachBadFieldIsNamed) {
  const std::pair<std::string, std::string> cases[] = {
      {With("vocab_size", "-1"), "vocab_size"},
      {With("vocab_size", "99999999999999999999999"), "vocab_size"},
      {With("n_embd", "1.5"), "n_embd"},
      {With("n_embd", "null"), "n_embd"},
      {With("n_head", "7"), "does not divide n_embd 432"},
      {With("n_head", "432"), "odd"},
      {With("block_depth", "1"), "block_depth"},
      {With("generation_window", "0"), "generation_window"},
      {With("history_window", "\"automatic\""), "history_window"},
      {With("architecture", "\"llama\""), "architecture"},
      {With("n_head", std::string(100000, '[') + std::string(100000, ']')),
       "is array"},
      {With("n_head", "1e999"), "not a JSON object"},
      {With("n_head", "12e0"), "n_head"},
      {"{}", "architecture"},
      {"[]", "not a JSON object"},
      {"{", "not a JSON object"},
      {"", "not a JSON object"}};
  for (const auto& [json, fault] : cases) {
    const auto config = ParseModelConfig(json, "dir/config.json");
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(config.status().message(), HasSubstr("dir/config.json"));
    EXPECT_THAT(config.status().message(), HasSubstr(fault)) << json;
  }
  EXPECT_TRUE(
      absl::IsNotFound(LoadModelConfig("/nowhere/config.json").status()));
}

std::vector<std::byte> File(const std::string& header, size_t data_bytes) {
  std::vector<std::byte> file(8 + header.size() + data_bytes);
  const uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  std::memcpy(file.data() + 8, header.data(), header.size());
  return file;
}

TEST(SafetensorsTest, ReadsTensors) {
  const auto file = File(
      R"({"__metadata__":{"a":"b"},
          "x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
          "y":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}})",
      32);
  const auto tensors = ParseSafetensors(file, "w");
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 2u);
  EXPECT_EQ(tensors->at("y").dtype, DType::kBF16);
  EXPECT_EQ(tensors->at("y").data,
            static_cast<const std::byte*>(tensors->at("x").data) + 24);
}

TEST(SafetensorsTest, EachFaultIsNamed) {
  const std::string good =
      R"("x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  const std::pair<std::string, std::string> cases[] = {
      {"[]", "not a JSON object"},
      {"{" + good + "," + good + "}", "\"x\" is there twice"},
      {"{" + good + R"(,"y":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "\"y\" at offset 4 overlaps \"x\""},
      {R"({"x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})",
       "\"x\" has dtype I64: want F32, F16 or BF16"},
      {R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})",
       "\"x\" spans 8 bytes at offset 0: its shape and dtype want 12"},
      {R"({"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}})",
       "\"x\" has -1 in its shape: want"},
      {R"({"x":{"dtype":"F32","shape":["a"],"data_offsets":[0,8]}})",
       "\"x\" has string in its shape: want"},
      {R"({"x":{"dtype":"F32","shape":[2]}})",
       "\"x\" has no valid data_offsets: want"},
      {R"({"x":{"dtype":"F32","data_offsets":[0,8]}})",
       "\"x\" has no valid shape: want"},
      {R"({"x":{"shape":[2],"data_offsets":[0,8]}})", "\"x\" has no dtype"},
      {R"({"x":7})", "\"x\" is not a JSON object"},
      {R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})",
       "data_offsets"},
      {R"({"x":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})",
       "truncated"},
      {R"({"x":{"dtype":"F32","shape":[4398046511104,4398046511104],
           "data_offsets":[0,8]}})",
       "absurdly large"},
      {"{\"x\":" + std::string(1000, '[') + "}", "nests too deep"}};
  for (const auto& [header, fault] : cases) {
    const auto tensors = ParseSafetensors(File(header, 8), "dir/w");
    ASSERT_FALSE(tensors.ok()) << header;
    EXPECT_THAT(tensors.status().message(), HasSubstr("dir/w"));
    EXPECT_THAT(tensors.status().message(), HasSubstr(fault));
  }
  const auto whole = File("{" + good + "}", 8);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(
        ParseSafetensors(absl::MakeConstSpan(whole).first(size), "w").ok());
  }
  std::string many = "{";
  for (int i = 0; i <= 1 << 17; ++i) absl::StrAppend(&many, "\"", i, "\":0,");
  many.back() = '}';
  EXPECT_THAT(ParseSafetensors(File(many, 0), "w").status().message(),
              HasSubstr("names 131073 tensors: at most 131072"));
  std::vector<std::byte> huge(8, std::byte{0xff});
  EXPECT_THAT(ParseSafetensors(huge, "w").status().message(),
              HasSubstr("offset 0"));
}

TEST(WeightsTest, MissingExtraAndMisshapenTensorsAreNamed) {
  ModelConfig config;
  config.architecture = Architecture::kTLinFormer;
  config.vocab_size = 11;
  config.n_embd = 8;
  config.n_head = 2;
  config.n_block = 1;
  config.block_depth = 3;
  config.history_window = config.generation_window = 4;
  ModelOptions options;
  options.slots = 1;
  options.max_context_tokens = 100;
  const auto backend =
      *CpuBackend::Create(MakeBackendShape(config, options), DType::kF32, 1);
  const SeededWeights seeded = MakeSeededWeights(config, 1);
  const auto fault = [&](const TensorMap& tensors) {
    return std::string(MakeWeights(config, tensors, "dir/w", backend.get())
                           .status()
                           .message());
  };
  EXPECT_EQ(fault(seeded.tensors), "");

  TensorMap tensors = seeded.tensors;
  tensors["transformer.lm_head.weight"] = tensors["embedding.weight"];
  tensors["a.b.rope.inv_freq"] = tensors["transformer.norm.weight"];
  EXPECT_EQ(fault(tensors), "");
  tensors["surplus"] = tensors["transformer.norm.weight"];
  EXPECT_THAT(fault(tensors), HasSubstr("\"surplus\" is none"));

  const std::string name =
      "transformer.transformer_layers.0.hidden_layers.0.qkv_proj.weight";
  tensors = seeded.tensors;
  tensors.erase(name);
  EXPECT_THAT(fault(tensors), HasSubstr(name + "\" is missing: want [24, 8]"));
  tensors = seeded.tensors;
  tensors[name].shape = {8, 24};
  EXPECT_THAT(fault(tensors), HasSubstr("has shape [8, 24]: want [24, 8]"));
}

}  // namespace
}  // namespace tlin
