// Operations at the sizes of decoding allocate nothing.
#include <gtest/gtest.h>

#include <vector>

#include "tests/backend/backend_fixture.h"
#include "tests/testing/allocation_counter.h"

namespace tlin {
namespace {

class AllocationTest : public BackendTest {};

TEST_P(AllocationTest, NoneWhileDecoding) {
  Make(432, 12, 1280, 1000);
  const TestLayer layer = MakeLayer();
  const Matrix weight = RandomMatrix(1000, 432, 0.5, random_);
  const std::vector<float> floats = ToFloats(weight);
  const HostMatrix view = View(weight, floats);
  const auto table = backend_->MakeLinear({&view, 1}, {}).value();
  for (const int32_t rows : {1, 2, 16, 64}) {
    std::vector<TestBlock> windows;
    std::vector<TestBlock> histories;
    std::vector<WindowPart> parts(rows);
    std::vector<KvRow> kv;
    windows.reserve(rows);
    histories.reserve(rows);
    for (int32_t i = 0; i < rows; ++i) {
      windows.push_back(FillBlock(layer, 256, Random(20, 2.0), 0));
      histories.push_back(FillBlock(layer, 256, Random(40, 2.0), 0));
      parts[i] = {i, 1, {&windows[i].block, 1}, 19, {&histories[i].block, 1}};
      kv.push_back({windows[i].block.data, 256, 19});
    }
    const std::vector<TokenId> ids(rows, 5);
    const std::vector<int32_t> positions(rows, 300);
    std::vector<int32_t> indices(rows, 0);
    std::vector<float> logits(int64_t{rows} * 1000);
    const DeviceRows x = NewRows(rows);
    const DeviceRows q = NewRows(rows);
    const DeviceRows out = NewRows(rows);
    const int64_t before = AllocationCount();
    for (int step = 0; step < 3; ++step) {
      backend_->Embed(*table, ids, x.rows());
      backend_->ProjectQkv(layer.device, x.rows(), positions, q.rows(), kv);
      backend_->AttendWindow(q.rows(), parts, out.rows());
      backend_->Finish(layer.device, out.rows(), x.rows());
      backend_->ComputeLogits(*layer.device.norm1, *table, x.rows(), indices,
                              logits.data());
    }
    EXPECT_EQ(AllocationCount(), before) << rows << " rows";
  }
}

INSTANTIATE_TEST_SUITE_P(All, AllocationTest, testing::ValuesIn(Backends()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tlin
