// A model directory as it comes: whole, lacking each file in turn, with files
// that do not fit each other.
#include "engine/load_engine.h"

#include <sys/resource.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/model/cost_model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tlin {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// The most memory that was ever resident.
int64_t PeakBytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} << 10;
}

// A copy of a demo model that a test may spoil.
class LoadModelTest : public ::testing::Test {
 protected:
  LoadModelTest()
      : directory_(
            ::testing::TempDir() + "/tlin-model-" +
            ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(directory_);
    fs::copy(fs::path(TLIN_SOURCE_DIR) / "deploy/models/tconst-demo",
             directory_);
    options_.model_directory = directory_.string();
    options_.threads = 1;
    options_.slots = 2;
    options_.dtype = "f32";
  }
  ~LoadModelTest() override { fs::remove_all(directory_); }

  void Write(const std::string& name, const std::string& contents) {
    std::ofstream(directory_ / name, std::ios::binary) << contents;
  }
  std::string Read(const std::string& name) {
    std::ifstream file(directory_ / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  void ReplaceInConfig(const std::string& field, const std::string& value) {
    std::string json = Read("config.json");
    const size_t at = json.find("\"" + field + "\"");
    ASSERT_NE(at, std::string::npos);
    const size_t begin = json.find(':', at) + 1;
    json.replace(begin, json.find_first_of(",}", begin) - begin, value);
    Write("config.json", json);
  }
  void ExpectFault(absl::StatusCode code, const std::string& file,
                   const std::string& what) {
    const absl::Status status = LoadModel(options_).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(file));
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
  }

  const fs::path directory_;
  LoadOptions options_;
};

TEST_F(LoadModelTest, AWholeDirectoryIsServed) {
  const auto loaded = LoadModel(options_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->model->info().architecture, "tconstformer");
  EXPECT_EQ(loaded->model->info().slots, 2);
  EXPECT_EQ(loaded->model->info().max_context_tokens, 1 << 20);
  EXPECT_EQ(loaded->model->memory().history, 0);
  ASSERT_NE(loaded->tokenizer, nullptr);
  EXPECT_LE(loaded->tokenizer->vocab_size(), loaded->config.vocab_size);
}

TEST_F(LoadModelTest, EachFileIsMissedByItsName) {
  fs::remove(directory_ / "tokenizer.json");
  const auto loaded = LoadModel(options_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->tokenizer, nullptr) << "token ids only";
  fs::remove(directory_ / "model.safetensors");
  ExpectFault(absl::StatusCode::kNotFound,
              (directory_ / "model.safetensors").string(), "cannot be read");
  fs::remove(directory_ / "config.json");
  ExpectFault(absl::StatusCode::kNotFound,
              (directory_ / "config.json").string(), "cannot be read");
}

TEST_F(LoadModelTest, SpoiledFilesAreNamed) {
  const std::string config = Read("config.json");
  Write("config.json", "{");
  ExpectFault(absl::StatusCode::kInvalidArgument, "config.json",
              "not a JSON object");
  Write("config.json", config);
  const std::string weights = Read("model.safetensors");
  Write("model.safetensors", weights.substr(0, weights.size() - 1));
  ExpectFault(absl::StatusCode::kDataLoss, "model.safetensors", "truncated");
  Write("model.safetensors", "");
  ExpectFault(absl::StatusCode::kInvalidArgument, "model.safetensors", "empty");
  Write("model.safetensors", weights);
  Write("tokenizer.json", "{}");
  ExpectFault(absl::StatusCode::kInvalidArgument, "tokenizer.json", "missing");
}

TEST_F(LoadModelTest, FilesThatDoNotFitEachOtherAreRefused) {
  ReplaceInConfig("vocab_size", "100");
  ExpectFault(absl::StatusCode::kInvalidArgument, "tokenizer.json",
              "the model's vocab_size is 100");
  fs::remove(directory_ / "tokenizer.json");
  ExpectFault(absl::StatusCode::kInvalidArgument, "model.safetensors",
              "tensor \"embedding.weight\" has shape");
}

// The weights are what vouches for the numbers in config.json: nothing is
// allocated by them before.
TEST_F(LoadModelTest, AnAbsurdConfigTakesNoMemory) {
  fs::remove(directory_ / "tokenizer.json");
  ReplaceInConfig("n_embd", "65536");
  ReplaceInConfig("n_head", "1");
  ReplaceInConfig("vocab_size", "16777216");
  // So much that even asking for it would fail.
  ReplaceInConfig("history_window", "1048576");
  const int64_t before = PeakBytes();
  ExpectFault(absl::StatusCode::kInvalidArgument, "model.safetensors",
              "want [16777216, 65536]");
  EXPECT_LT(PeakBytes() - before, int64_t{64} << 20);
}

TEST_F(LoadModelTest, FlagsAreNamed) {
  options_.slots = -1;
  ExpectFault(absl::StatusCode::kInvalidArgument, "--slots=-1", "4096");
  options_.slots = 1;
  options_.max_context_tokens = int64_t{1} << 40;
  ExpectFault(absl::StatusCode::kInvalidArgument, "--max_context_tokens=", "");
  options_.max_context_tokens = 0;
  options_.device = "tpu";
  ExpectFault(absl::StatusCode::kInvalidArgument, "--device=tpu", "");
  options_.device = "cpu";
  options_.dtype = "f64";
  ExpectFault(absl::StatusCode::kInvalidArgument, "--dtype=f64", "");
  options_.dtype = "f32";
  options_.derived_history = "yes";
  ExpectFault(absl::StatusCode::kInvalidArgument, "--derived_history=yes", "");
}

TEST_F(LoadModelTest, SlotsThatAreNotGivenAreAtMostTheSessions) {
  options_.slots = 0;
  EXPECT_EQ(LoadModel(options_)->model->info().slots, 16);
  options_.most_slots = 3;
  EXPECT_EQ(LoadModel(options_)->model->info().slots, 3);
}

TEST_F(LoadModelTest, AHistoryIsDerivedWhereItIsAskedFor) {
  options_.derived_history = "off";
  EXPECT_EQ(LoadModel(options_)->model->memory().vocabulary_table, 0);
  options_.derived_history = "on";
  const auto loaded = LoadModel(options_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const int64_t table = VocabularyTableBytes(loaded->config);
  EXPECT_GT(table, 0);
  const ModelMemory memory = loaded->model->memory();
  EXPECT_EQ(memory.vocabulary_table, table);
  // It counts in what has to be free.
  options_.free_memory_bytes =
      memory.weights + memory.session_cache + memory.workspace;
  ExpectFault(absl::StatusCode::kResourceExhausted, "--derived_history", "");
  options_.free_memory_bytes += table;
  EXPECT_TRUE(LoadModel(options_).ok());
}

TEST_F(LoadModelTest, AutoDerivesTheHistoryOfATConstFormerOfOneBlockOnly) {
  ModelConfig config = LoadModel(options_)->config;
  for (const Architecture architecture :
       {Architecture::kTConstFormer, Architecture::kTLinFormer}) {
    for (const int32_t blocks : {1, 2}) {
      config.architecture = architecture;
      config.n_block = blocks;
      EXPECT_EQ(ChooseDerivedHistory("auto", config).value(),
                architecture == Architecture::kTConstFormer && blocks == 1);
      EXPECT_TRUE(ChooseDerivedHistory("on", config).value());
      EXPECT_FALSE(ChooseDerivedHistory("off", config).value());
    }
  }
  config.architecture = Architecture::kTransformer;
  EXPECT_FALSE(ChooseDerivedHistory("auto", config).value());
  EXPECT_EQ(ChooseDerivedHistory("on", config).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(LoadModelTest, MoreThanTheMemoryThatIsFreeIsRefused) {
  const ModelMemory memory = LoadModel(options_)->model->memory();
  options_.free_memory_bytes = memory.session_cache;
  ExpectFault(absl::StatusCode::kResourceExhausted, "--slots",
              absl::StrCat("2 slots of ", memory.session_cache_bytes));
  options_.free_memory_bytes +=
      memory.weights + memory.vocabulary_table + memory.workspace;
  EXPECT_TRUE(LoadModel(options_).ok());
  ReplaceInConfig("architecture", "\"tlinformer\"");
  ExpectFault(absl::StatusCode::kResourceExhausted, "--history_tokens", "");
}

TEST(LoadModelsTest, AllDemoModelsLoad) {
  for (const char* name : {"tlin-demo", "tconst-demo", "transformer-demo"}) {
    LoadOptions options;
    options.model_directory =
        absl::StrCat(TLIN_SOURCE_DIR, "/deploy/models/", name);
    options.threads = 1;
    options.slots = 1;
    options.max_context_tokens = 1024;
    options.history_tokens = 1024;
    const auto loaded = LoadModel(options);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
  }
}

}  // namespace
}  // namespace tlin
