// Nothing is taken from the heap in a step: not by a decode step, a fill or a
// slice of a sync, on whichever thread. A binary of its own: it replaces
// operator new.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "tests/testing/model_driver.h"
#include "tests/testing/seeded_weights.h"

namespace {
std::atomic<int64_t> allocations{0};

void* Allocate(size_t bytes, size_t alignment) {
  ++allocations;
  void* const memory = std::aligned_alloc(
      alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

void* operator new(size_t bytes) { return Allocate(bytes, 16); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace tlin {
namespace {

class AllocationTest : public testing::TestWithParam<Architecture> {};

TEST_P(AllocationTest, AStepTakesNothingFromTheHeap) {
  ModelConfig config;
  config.architecture = GetParam();
  config.vocab_size = 300;
  config.n_embd = 72;
  config.n_head = 2;
  if (config.has_windows()) {
    config.n_block = 2;
    config.block_depth = 3;
    config.history_window = config.generation_window = 64;
  } else {
    config.n_layer = 3;
  }
  ModelOptions options;
  options.slots = 8;
  options.max_context_tokens = 2000;
  options.history_tokens = 8 * 2048;  // whole pages
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const auto model = MakeSeededModel(config, 1, options, dtype);
    const auto tokens = SeededTokens(1, 1024, config.vocab_size);
    StepPlan decode;
    for (SlotId slot = 0; slot < 6; ++slot) {
      model->Open(slot, 2000);
      decode.decode.push_back({slot, absl::MakeConstSpan(&tokens[slot], 1),
                               WindowRows::Logits::kLast});
    }
    StepPlan fill;
    fill.fill.push_back(
        {6, absl::MakeConstSpan(tokens).first(64), WindowRows::Logits::kLast});
    model->Open(6, 2000);
    StepPlan sync;
    sync.sync.push_back({7, 10});
    model->Open(7, 2000);
    if (config.has_windows()) model->BeginSync(7, tokens);
    LogitRows logits;

    const int64_t before = allocations;
    bool ok = model->Run(fill, &logits).ok();
    while (model->SyncUnitsLeft(7) > 0) ok &= model->Run(sync, &logits).ok();
    for (int i = 0; i < 60; ++i) ok &= model->Run(decode, &logits).ok();
    EXPECT_EQ(allocations - before, 0);
    EXPECT_TRUE(ok);
    for (SlotId slot = 0; slot < 8; ++slot) model->Close(slot);
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, AllocationTest,
                         testing::Values(Architecture::kTLinFormer,
                                         Architecture::kTConstFormer,
                                         Architecture::kTransformer),
                         [](const auto& info) {
                           return ArchitectureName(info.param);
                         });

}  // namespace
}  // namespace tlin
