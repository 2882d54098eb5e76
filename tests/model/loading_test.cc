// Weight files as they come: other number formats, odd alignment, the memory
// that reading them takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/model/model.h"
#include "engine/model/safetensors.h"
#include "engine/model/weights.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/random_config.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

ModelOptions OneSlot() {
  ModelOptions options;
  options.slots = 1;
  options.max_context_tokens = 500;
  options.history_tokens = 500;
  return options;
}

std::vector<float> LogitsOf(const ModelConfig& config,
                            const TensorMap& tensors) {
  auto backend =
      *CpuBackend::Create(MakeBackendShape(config, OneSlot()), DType::kF32, 1);
  auto weights = MakeWeights(config, tensors, "w", backend.get());
  EXPECT_TRUE(weights.ok()) << weights.status();
  auto model = *Model::Create(config, OneSlot(), *std::move(weights),
                              std::move(backend));
  SequenceDriver sequence(model.get(), 0, 100);
  return sequence.Feed(SeededTokens(1, 50, config.vocab_size));
}

TEST(LoadingTest, DataMayStartAtAnyByte) {
  const ModelConfig config = RandomConfig(3);
  const SeededWeights seeded = MakeSeededWeights(config, 1);
  const std::vector<float> expected = LogitsOf(config, seeded.tensors);
  for (const int padding : {0, 1, 2, 3}) {
    const std::string path = WriteTestFile(
        "odd.safetensors", MakeSafetensors(seeded.tensors, padding));
    const auto file = SafetensorsFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(LogitsOf(config, (*file)->tensors()), expected);
    unlink(path.c_str());
  }
}

// Rounds a number so that its F32, BF16 and F16 are the same: 4 bits suffice.
float Coarse(float value) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) & 0xfff80000u);
}

uint16_t ToBF16(float value) {
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
}

// REQUIRES: `value` is a normal F16 number.
uint16_t ToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) == 0) return static_cast<uint16_t>(bits >> 16);
  const uint32_t exponent = ((bits >> 23) & 0xff) - 112;
  return static_cast<uint16_t>((bits >> 31) << 15 | exponent << 10 |
                               (bits >> 13 & 0x3ff));
}

TEST(LoadingTest, HalfPrecisionFilesAreReadAsTheNumbersThatTheyHold) {
  const ModelConfig config = RandomConfig(1);
  SeededWeights seeded = MakeSeededWeights(config, 1);
  for (auto& values : seeded.values) {
    for (float& value : values) {
      value = std::abs(value) < 1e-3f ? 0.0f : Coarse(value);
    }
  }
  const std::vector<float> expected = LogitsOf(config, seeded.tensors);
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    std::vector<std::vector<uint16_t>> halves;
    TensorMap tensors = seeded.tensors;
    for (auto& [name, tensor] : tensors) {
      size_t count = 1;
      for (const int64_t dimension : tensor.shape) count *= dimension;
      const auto* values = static_cast<const float*>(tensor.data);
      std::vector<uint16_t> half(count);
      for (size_t i = 0; i < count; ++i) {
        half[i] = dtype == DType::kBF16 ? ToBF16(values[i]) : ToF16(values[i]);
      }
      halves.push_back(std::move(half));
      tensor = {dtype, tensor.shape, halves.back().data()};
    }
    EXPECT_EQ(LogitsOf(config, tensors), expected) << DTypeName(dtype);
  }
}

// Of mapped files. A thread sanitizer's memory about them is not counted.
int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0;
  int64_t resident = 0;
  int64_t of_files = 0;
  file >> total >> resident >> of_files;
  return of_files * sysconf(_SC_PAGESIZE);
}

TEST(LoadingTest, DroppedTensorsLeaveMemory) {
  constexpr int64_t kBytes = int64_t{64} << 20;
  std::string path;
  {
    const std::vector<float> values(kBytes / sizeof(float), 1.0f);
    TensorMap tensors;
    tensors["x"] = {DType::kF32, {kBytes / 4}, values.data()};
    path = WriteTestFile("large.safetensors", MakeSafetensors(tensors));
  }
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const HostTensor& tensor = (*file)->tensors().at("x");
  const int64_t before = ResidentBytes();
  const auto sum = [&tensor] {
    double total = 0;
    for (int64_t i = 0; i < tensor.shape[0]; ++i) {
      float value;
      std::memcpy(&value, static_cast<const std::byte*>(tensor.data) + 4 * i,
                  4);
      total += value;
    }
    return total;
  };
  EXPECT_EQ(sum(), kBytes / 4);
  EXPECT_GE(ResidentBytes() - before, kBytes / 2);
  (*file)->Drop(tensor);
  EXPECT_LT(ResidentBytes() - before, kBytes / 4);
  EXPECT_EQ(sum(), kBytes / 4);
  unlink(path.c_str());
}

TEST(LoadingTest, WeightsReportEachTensorOnceItIsPacked) {
  const ModelConfig config = RandomConfig(7);
  const SeededWeights seeded = MakeSeededWeights(config, 1);
  auto backend =
      *CpuBackend::Create(MakeBackendShape(config, OneSlot()), DType::kF32, 1);
  size_t done = 0;
  ASSERT_TRUE(MakeWeights(config, seeded.tensors, "w", backend.get(),
                          [&done](const HostTensor&) { ++done; })
                  .ok());
  EXPECT_EQ(done, seeded.tensors.size());
}

// Of the configuration and of each number of each tensor.
TEST(LoadingTest, TheFingerprintTellsModelsApart) {
  const auto fingerprint = [](const ModelConfig& config, uint64_t seed,
                              const SeededWeights* weights = nullptr) {
    const SeededWeights seeded = MakeSeededWeights(config, seed);
    auto backend = *CpuBackend::Create(MakeBackendShape(config, OneSlot()),
                                       DType::kF32, 1);
    return MakeWeights(config,
                       weights == nullptr ? seeded.tensors : weights->tensors,
                       "w", backend.get())
        ->fingerprint;
  };
  ModelConfig config = RandomConfig(7);
  const std::string own = fingerprint(config, 1);
  EXPECT_EQ(own.size(), 32);
  EXPECT_EQ(fingerprint(config, 1), own);
  EXPECT_NE(fingerprint(config, 2), own);
  SeededWeights weights = MakeSeededWeights(config, 1);
  for (const auto& [name, tensor] : weights.tensors) {
    auto* number = static_cast<float*>(const_cast<void*>(tensor.data));
    *number += 1.0f;
    EXPECT_NE(fingerprint(config, 1, &weights), own) << name;
    *number -= 1.0f;
  }
  ++config.history_window;
  EXPECT_NE(fingerprint(config, 1), own);
}

TEST(LoadingTest, OptionsOutOfRangeAreNamed) {
  const ModelConfig config = RandomConfig(1);
  const auto create = [&config](const ModelOptions& options) {
    auto backend = *CpuBackend::Create(MakeBackendShape(config, OneSlot()),
                                       DType::kF32, 1);
    const SeededWeights seeded = MakeSeededWeights(config, 1);
    auto weights = MakeWeights(config, seeded.tensors, "w", backend.get());
    return Model::Create(config, options, *std::move(weights),
                         std::move(backend))
        .status();
  };
  EXPECT_TRUE(create(OneSlot()).ok());
  ModelOptions options = OneSlot();
  options.slots = 0;
  EXPECT_THAT(create(options).message(), testing::HasSubstr("slots is 0"));
  options = OneSlot();
  options.max_context_tokens = int64_t{1} << 32;
  EXPECT_THAT(create(options).message(),
              testing::HasSubstr("max_context_tokens"));
  options = OneSlot();
  options.max_syncs = 0;
  EXPECT_THAT(create(options).message(), testing::HasSubstr("max_syncs"));
}

}  // namespace
}  // namespace tlin
