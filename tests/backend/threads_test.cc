// The CPU backend's results have the same bits whatever the number of threads.
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"
#include "tests/backend/backend_fixture.h"

namespace tlin {
namespace {

class ThreadsTest : public BackendTest {
 protected:
  // A layer's worth of everything, with a history long enough to be cut by
  // chunks of keys where threads are many.
  std::vector<uint32_t> Run(int threads, const GemmKernels* kernels = nullptr) {
    random_.seed(5);
    backend_ = CpuBackend::Create({72, 2, 100, 97, 300, 64}, DType::kBF16,
                                  threads, kernels)
                   .value();
    const TestLayer layer = MakeLayer();
    const TestBlock window = FillBlock(layer, 256, Random(250, 2.0), 0);
    std::vector<TestBlock> pages;
    std::vector<KvBlock> views;
    for (int i = 0; i < 30; ++i) {
      pages.push_back(
          FillBlock(layer, 300, Random(i == 29 ? 100 : 300, 2.0), 300 * i));
    }
    // Twice around, so that the chunks do not fit in one round.
    for (int i = 0; i < 60; ++i) views.push_back(pages[i % 29].block);
    views.push_back(pages[29].block);
    std::vector<uint32_t> results;
    for (const int32_t rows : {1, 3, 19, 100}) {
      const DeviceRows x = Upload(Random(rows));
      std::vector<int32_t> positions(rows, 12345);
      DeviceRows q = NewRows(rows);
      DeviceRows out = NewRows(rows);
      backend_->ProjectQ(layer.device, x.rows(), positions, q.rows());
      const WindowPart part = {0, rows, {&window.block, 1}, 150, views};
      backend_->AttendWindow(q.rows(), {&part, 1}, out.rows());
      backend_->Finish(layer.device, out.rows(), x.rows());
      for (const DeviceRows* made :
           std::initializer_list<const DeviceRows*>{&q, &out, &x}) {
        const std::vector<uint32_t> bits = Bits(Download(*made));
        results.insert(results.end(), bits.begin(), bits.end());
      }
    }
    return results;
  }
};

TEST_P(ThreadsTest, ChangeNothing) {
  const std::vector<uint32_t> alone = Run(1);
  for (const int threads : {2, 3, 16}) EXPECT_EQ(Run(threads), alone);
}

TEST_P(ThreadsTest, NorDoesTheWayToMultiply) {
  if (GemmBf16Dot() == nullptr) GTEST_SKIP() << "no dot product instruction";
  EXPECT_EQ(Run(2, GemmBf16Dot()), Run(2, &GemmBf16()));
}

INSTANTIATE_TEST_SUITE_P(Cpu, ThreadsTest, testing::Values(Backends().front()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tlin
