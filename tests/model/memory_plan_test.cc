// The memory plan of a GPU is what is allocated there, to the byte.
#include "engine/model/memory_plan.h"

#include "engine/backend/cuda/cuda_backend.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cuda_emulation/control.h"
#include "tests/testing/model_driver.h"

namespace tlin {
namespace {

ModelConfig ConfigOf(Architecture architecture) {
  ModelConfig config;
  config.architecture = architecture;
  config.n_embd = 36;  // rows that are padded
  config.n_head = 2;
  config.vocab_size = 300;
  config.n_block = 2;
  config.block_depth = 3;
  config.history_window = 8;
  config.generation_window = 12;
  if (architecture == Architecture::kTransformer) {
    config.n_layer = 3;
    config.n_block = config.block_depth = 0;
    config.history_window = config.generation_window = 0;
  }
  return config;
}

TEST(MemoryPlanTest, IsWhatIsAllocated) {
  for (const Architecture architecture :
       {Architecture::kTLinFormer, Architecture::kTConstFormer,
        Architecture::kTransformer}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const bool derived : {false, true}) {
        for (const int32_t slots : {1, 7}) {
          ModelConfig config = ConfigOf(architecture);
          if (derived && !config.has_windows()) continue;
          config.derived_history = derived;
          ModelOptions options;
          options.slots = slots;
          options.max_context_tokens = 2000;
          options.history_tokens = 3000;
          const BackendShape shape = MakeBackendShape(config, options);
          const MemoryPlan plan =
              PlanMemory(config, options, dtype,
                         cuda::CudaBackend::WorkspaceBytes(dtype, shape));
          const int64_t before = cuda_emulation::DeviceCounts().allocated_bytes;
          const auto model = MakeSeededModel(config, 1, options, dtype);
          const int64_t allocated =
              cuda_emulation::DeviceCounts().allocated_bytes - before;
          // An allocation of nothing is one of a byte.
          EXPECT_GE(allocated, plan.total()) << plan.Text();
          EXPECT_LE(allocated, plan.total() + 3)
              << plan.Text() << " " << ArchitectureName(architecture);
          EXPECT_EQ(model->memory().weights, plan.weights);
          EXPECT_EQ(model->memory().session_cache, slots * plan.slot_bytes);
          EXPECT_EQ(model->memory().history, plan.history);
        }
      }
    }
  }
}

TEST(MemoryPlanTest, TellsItsArithmetic) {
  MemoryPlan plan;
  plan.weights = 100;
  plan.slots = 3;
  plan.slot_bytes = 20;
  plan.workspace = 7;
  EXPECT_EQ(plan.Text(),
            "weights 100 + 3 slots of 20 + workspace 7 = 167 bytes");
  plan.history = 5;
  plan.vocabulary_table = 1;
  EXPECT_EQ(plan.Text(),
            "weights 100 + vocabulary table 1 + 3 slots of 20 + history 5 + "
            "workspace 7 = 173 bytes");
}

}  // namespace
}  // namespace tlin
