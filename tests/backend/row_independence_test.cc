// A row's result has the same bits whatever else is in the call.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "tests/backend/backend_fixture.h"

namespace tlin {
namespace {

constexpr int32_t kCuts[] = {1, 2, 3, 5, 7, 12, 13, 16, 33};
// An emulated GPU takes a second for what takes others a millisecond: alone,
// less and more than a tile of queries, and fewer rows.
constexpr int32_t kCutsOfEmulated[] = {1, 7, 33};
constexpr TestShape kShapes[] = {{24, 2, 40, 33},
                                 {72, 2, 100, 97},
                                 {160, 2, 40, 33},
                                 {192, 2, 40, 33},
                                 {432, 12, 1280, 500}};

class RowIndependenceTest : public BackendTest {
 protected:
  const int32_t rows_ = GetParam().emulated ? 41 : 64;

  // run(first, rows) computes some rows; the result must be that of all at
  // once.
  void ExpectSameInCuts(
      const std::function<Matrix(int32_t first, int32_t rows)>& run) {
    const std::vector<uint32_t> all = Bits(run(0, rows_));
    for (const int32_t cut : GetParam().emulated
                                 ? absl::MakeConstSpan(kCutsOfEmulated)
                                 : absl::MakeConstSpan(kCuts)) {
      std::vector<uint32_t> joined;
      for (int32_t first = 0; first < rows_; first += cut) {
        const std::vector<uint32_t> part =
            Bits(run(first, std::min(cut, rows_ - first)));
        joined.insert(joined.end(), part.begin(), part.end());
      }
      ASSERT_EQ(joined, all) << "in cuts of " << cut;
    }
  }
};

TEST_P(RowIndependenceTest, Projections) {
  for (const TestShape& shape : kShapes) {
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    const DeviceRows x = Upload(Random(rows_));
    std::vector<int32_t> positions(rows_);
    std::iota(positions.begin(), positions.end(), 149'990);
    std::vector<std::byte> first_block;
    ExpectSameInCuts([&](int32_t first, int32_t rows) {
      DeviceRows q = NewRows(rows);
      backend_->ProjectQ(layer.device, x.Slice(first, rows),
                         absl::MakeSpan(positions).subspan(first, rows),
                         q.rows());
      return Download(q);
    });
    for (const int32_t cut : {rows_, 1, 13}) {
      TestBlock block = FillBlock(layer, rows_, Random(0, 2.0), 0);
      for (int32_t first = 0; first < rows_; first += cut) {
        const int32_t rows = std::min(cut, rows_ - first);
        std::vector<KvRow> kv;
        for (int32_t row = first; row < first + rows; ++row) {
          kv.push_back({block.block.data, rows_, row});
        }
        DeviceRows q = NewRows(rows);
        backend_->ProjectQkv(layer.device, x.Slice(first, rows),
                             absl::MakeSpan(positions).subspan(first, rows),
                             q.rows(), kv);
      }
      if (first_block.empty()) first_block = Bytes(block);
      EXPECT_EQ(Bytes(block), first_block) << "in cuts of " << cut;
    }
  }
}

TEST_P(RowIndependenceTest, Finish) {
  for (const TestShape& shape : kShapes) {
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    const Matrix x = Random(rows_);
    const DeviceRows attended = Upload(Random(rows_));
    ExpectSameInCuts([&](int32_t first, int32_t rows) {
      DeviceRows out = NewRows(rows);
      backend_->Copy(Upload(x).Slice(first, rows).data, out.rows().data,
                     int64_t{rows} * n_embd() * 4);
      backend_->Finish(layer.device, attended.Slice(first, rows), out.rows());
      return Download(out);
    });
  }
}

TEST_P(RowIndependenceTest, Logits) {
  for (const TestShape& shape : kShapes) {
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    const Matrix weight =
        RandomMatrix(shape.vocab_size, n_embd(), 0.5, random_);
    const std::vector<float> floats = ToFloats(weight);
    const HostMatrix view = View(weight, floats);
    const auto table = backend_->MakeLinear({&view, 1}, {}).value();
    const DeviceRows x = Upload(Random(rows_));
    ExpectSameInCuts([&](int32_t first, int32_t rows) {
      std::vector<int32_t> indices(rows);
      std::iota(indices.begin(), indices.end(), first);
      std::vector<float> logits(int64_t{rows} * shape.vocab_size);
      backend_->ComputeLogits(*layer.device.norm1, *table, x.rows(), indices,
                              logits.data());
      EXPECT_TRUE(backend_->Synchronize().ok());
      Matrix result(rows, shape.vocab_size);
      std::copy(logits.begin(), logits.end(), result.values.begin());
      return result;
    });
  }
}

TEST_P(RowIndependenceTest, Attention) {
  for (const TestShape& shape : kShapes) {
    // What many heads do few do, too; and of narrow heads one size will do.
    if (GetParam().emulated && (shape.n_head > 3 || shape.n_embd < 72))
      continue;
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    const TestBlock window = FillBlock(layer, 290, Random(290, 2.0), 0);
    const TestBlock history = FillBlock(layer, 300, Random(277, 2.0), 0);
    const DeviceRows q = Upload(Random(rows_, 4.0));
    ExpectSameInCuts([&](int32_t first, int32_t rows) {
      DeviceRows out = NewRows(rows);
      backend_->Attend(q.Slice(first, rows), history.block, out.rows());
      return Download(out);
    });
    ExpectSameInCuts([&](int32_t first, int32_t rows) {
      const auto partial =
          backend_->Allocate(backend_->PartialBytes(rows)).value();
      DeviceRows out = NewRows(rows);
      backend_->ResetPartial(rows, partial->data());
      backend_->AccumulateAttention(q.Slice(first, rows), history.block,
                                    partial->data());
      backend_->AccumulateAttention(q.Slice(first, rows), window.block,
                                    partial->data());
      backend_->FinishPartial(partial->data(), out.rows());
      return Download(out);
    });
    // The window fills up: a row sees the same keys in the middle of a long
    // part as when it is decoded alone, with fewer rows in the block.
    for (const int32_t offset : {0, 200, 226}) {
      if (GetParam().emulated && offset == 200) continue;
      ExpectSameInCuts([&](int32_t first, int32_t rows) {
        KvBlock filled = window.block;
        filled.rows = offset + first + rows;
        WindowPart part;
        part.rows = rows;
        part.window = {&filled, 1};
        part.window_offset = offset + first;
        part.history = {&history.block, 1};
        DeviceRows out = NewRows(rows);
        backend_->AttendWindow(q.Slice(first, rows), {&part, 1}, out.rows());
        return Download(out);
      });
    }
  }
}

// One query alone may be cut by blocks, and many together by queries.
TEST_P(RowIndependenceTest, LongHistories) {
  Make(72, 2, 100, 97);
  const TestLayer layer = MakeLayer();
  std::vector<TestBlock> blocks;
  std::vector<KvBlock> window;
  std::vector<KvBlock> history;
  for (int32_t i = 0; i < 10; ++i) {
    blocks.push_back(FillBlock(layer, 40, Random(40 - i, 2.0), 40 * i));
    (i < 4 ? window : history).push_back(blocks.back().block);
  }
  const DeviceRows q = Upload(Random(rows_, 4.0));
  ASSERT_GT(rows_ * 10, kMaxBlocks);
  ExpectSameInCuts([&](int32_t first, int32_t rows) {
    WindowPart part;
    part.rows = rows;
    part.window = window;
    part.window_offset = 40 + first;
    part.history = history;
    DeviceRows out = NewRows(rows);
    backend_->AttendWindow(q.Slice(first, rows), {&part, 1}, out.rows());
    return Download(out);
  });
}

TEST_P(RowIndependenceTest, SequencesOfABatch) {
  Make(432, 12, 1280, 500);
  const TestLayer layer = MakeLayer();
  std::vector<TestBlock> windows;
  std::vector<TestBlock> histories;
  std::vector<WindowPart> parts(16);
  for (int32_t i = 0; i < 16; ++i) {
    windows.push_back(FillBlock(layer, 256, Random(1 + 15 * i, 2.0), 0));
    histories.push_back(
        FillBlock(layer, 256, Random(i % 3 == 0 ? 256 : 11 * i, 2.0), 0));
  }
  for (int32_t i = 0; i < 16; ++i) {
    parts[i] = {i, 1, {&windows[i].block, 1}, 15 * i, {}};
    if (i % 4 != 0) parts[i].history = {&histories[i].block, 1};
  }
  const DeviceRows q = Upload(Random(16, 4.0));
  DeviceRows together = NewRows(16);
  DeviceRows alone = NewRows(16);
  backend_->AttendWindow(q.rows(), parts, together.rows());
  for (int32_t i = 0; i < 16; ++i) {
    WindowPart part = parts[i];
    part.first_row = 0;
    backend_->AttendWindow(q.Slice(i, 1), {&part, 1}, alone.Slice(i, 1));
  }
  EXPECT_EQ(Bits(Download(alone)), Bits(Download(together)));
}

// So many that a backend may take more of them at once than of few.
TEST_P(RowIndependenceTest, ManyQueries) {
  constexpr int32_t kMany = 330;
  Make(96, 16, 64, 50);
  const TestLayer layer = MakeLayer();
  // In f32 the CUDA backend has one kernel for any number.
  const bool short_run =
      GetParam().emulated && backend_->dtype() == DType::kF32;
  for (const int32_t keys : {3, short_run ? 40 : 277}) {
    const TestBlock first = FillBlock(layer, 300, Random(40, 2.0), 0);
    const TestBlock block = FillBlock(layer, 300, Random(keys, 2.0), 40);
    const DeviceRows q = Upload(Random(kMany, 4.0));
    const auto attend = [&](int32_t cut) {
      DeviceRows out = NewRows(2 * kMany);
      for (int32_t at = 0; at < kMany; at += cut) {
        const int32_t rows = std::min(cut, kMany - at);
        backend_->Attend(q.Slice(at, rows), block.block, out.Slice(at, rows));
        const auto partial =
            backend_->Allocate(backend_->PartialBytes(rows)).value();
        backend_->ResetPartial(rows, partial->data());
        for (const TestBlock* one : {&first, &block}) {
          backend_->AccumulateAttention(q.Slice(at, rows), one->block,
                                        partial->data());
        }
        backend_->FinishPartial(partial->data(), out.Slice(kMany + at, rows));
        EXPECT_TRUE(backend_->Synchronize().ok());
      }
      return Bits(Download(out));
    };
    EXPECT_EQ(attend(kMany), attend(70)) << keys;
  }
}

INSTANTIATE_TEST_SUITE_P(All, RowIndependenceTest,
                         testing::ValuesIn(Backends()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tlin
