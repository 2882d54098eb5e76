// Attention against double arithmetic.
#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "tests/backend/backend_fixture.h"

namespace tlin {
namespace {

class AttentionTest : public BackendTest {
 protected:
  static Matrix Stack(const std::vector<const Matrix*>& parts) {
    Matrix all(0, parts[0]->cols);
    for (const Matrix* part : parts) {
      all.rows += part->rows;
      all.values.insert(all.values.end(), part->values.begin(),
                        part->values.end());
    }
    return all;
  }

  static Matrix RowsOf(const Matrix& matrix, int64_t first, int64_t count) {
    Matrix out(count, matrix.cols);
    std::copy_n(matrix.row(first), count * matrix.cols, out.row(0));
    return out;
  }
};

TEST_P(AttentionTest, OverOneBlock) {
  for (const TestShape& shape : Shapes()) {
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    for (const auto& [rows, keys, capacity] :
         std::vector<std::array<int32_t, 3>>{{1, 1, 1},
                                             {1, 17, 17},
                                             {5, 40, 41},
                                             {13, 256, 256},
                                             {70, 300, 300},
                                             {256, 30, 50}}) {
      const TestBlock block = MakeBlock(layer, capacity, keys, 1000);
      const Matrix q = Random(rows, 4.0);
      DeviceRows out = NewRows(rows);
      backend_->Attend(Upload(q).rows(), block.block, out.rows());
      ExpectNear(Download(out),
                 ReferenceAttend(q, block.keys, block.values,
                                 std::vector<int64_t>(rows, keys), n_head()));
    }
  }
}

TEST_P(AttentionTest, BlockByBlock) {
  for (const TestShape& shape : Shapes()) {
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    const int32_t rows = 37;
    std::vector<TestBlock> blocks;
    for (const int32_t keys : {3, 256, 1, 290}) {
      blocks.push_back(MakeBlock(layer, keys + 5, keys, 7 * keys));
    }
    const Matrix q = Random(rows, 4.0);
    const DeviceRows device_q = Upload(q);
    const auto partial =
        backend_->Allocate(backend_->PartialBytes(rows)).value();
    std::vector<const Matrix*> keys;
    std::vector<const Matrix*> values;
    DeviceRows out = NewRows(rows);
    for (int pass = 0; pass < 2; ++pass) {  // a partial can be used again
      backend_->ResetPartial(rows, partial->data());
      keys.clear();
      values.clear();
      for (const TestBlock& block : blocks) {
        backend_->AccumulateAttention(device_q.rows(), block.block,
                                      partial->data());
        keys.push_back(&block.keys);
        values.push_back(&block.values);
      }
      backend_->FinishPartial(partial->data(), out.rows());
    }
    const Matrix finished = Download(out);
    ExpectNear(finished,
               ReferenceAttend(q, Stack(keys), Stack(values),
                               std::vector<int64_t>(rows, 550), n_head()));
    Matrix twice = finished;
    for (double& value : twice.values) value += value;
    backend_->AddPartial(partial->data(), out.rows());
    EXPECT_EQ(Download(out).values, twice.values);
  }
}

// Three sequences in one call: decoding without history, decoding with a
// history in pages, and several rows of a window that is being filled.
TEST_P(AttentionTest, WindowsAndHistories) {
  for (const TestShape& shape : Shapes()) {
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    const TestBlock window0 = MakeBlock(layer, 20, 9, 0);
    const TestBlock window1 = MakeBlock(layer, 256, 200, 700);
    const TestBlock pages[] = {MakeBlock(layer, 300, 300, 0),
                               MakeBlock(layer, 300, 300, 300),
                               MakeBlock(layer, 300, 100, 600)};
    const TestBlock window2[] = {MakeBlock(layer, 32, 32, 64),
                                 MakeBlock(layer, 40, 33, 96)};
    const TestBlock history2 = MakeBlock(layer, 48, 48, 0);
    const std::vector<KvBlock> page_views = {pages[0].block, pages[1].block,
                                             pages[2].block};
    const std::vector<KvBlock> window2_views = {window2[0].block,
                                                window2[1].block};
    std::vector<WindowPart> parts(3);
    parts[0] = {0, 1, {&window0.block, 1}, 8, {}};
    parts[1] = {1, 1, {&window1.block, 1}, 199, page_views};
    parts[2] = {2, 60, window2_views, 5, {&history2.block, 1}};
    const Matrix q = Random(62, 4.0);
    DeviceRows out = NewRows(62);
    backend_->AttendWindow(Upload(q).rows(), parts, out.rows());
    const Matrix actual = Download(out);

    ExpectNear(RowsOf(actual, 0, 1),
               ReferenceAttend(RowsOf(q, 0, 1), window0.keys, window0.values,
                               {9}, n_head()));
    const Matrix keys1 =
        Stack({&pages[0].keys, &pages[1].keys, &pages[2].keys});
    const Matrix values1 =
        Stack({&pages[0].values, &pages[1].values, &pages[2].values});
    const Matrix q1 = RowsOf(q, 1, 1);
    ExpectNear(
        RowsOf(actual, 1, 1),
        Sum(ReferenceAttend(q1, window1.keys, window1.values, {200}, n_head()),
            ReferenceAttend(q1, keys1, values1, {700}, n_head())));
    std::vector<int64_t> sees(60);
    std::iota(sees.begin(), sees.end(), 6);
    const Matrix q2 = RowsOf(q, 2, 60);
    ExpectNear(
        RowsOf(actual, 2, 60),
        Sum(ReferenceAttend(q2, Stack({&window2[0].keys, &window2[1].keys}),
                            Stack({&window2[0].values, &window2[1].values}),
                            sees, n_head()),
            ReferenceAttend(q2, history2.keys, history2.values,
                            std::vector<int64_t>(60, 48), n_head())));
  }
}

// The partials that a window's rows leave in a ring are those of attention
// block by block, bit for bit, however the rows are cut.
TEST_P(AttentionTest, WhatIsCarriedIsThePartialOfTheFirstBlocks) {
  for (const TestShape& shape : Shapes()) {
    // Heads of 36 elements are there twice: two of them will do.
    if (shape.n_embd == 432) continue;
    if (GetParam().emulated && shape.n_embd != 72) continue;
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    const TestBlock window = MakeBlock(layer, 100, 100, 5000);
    // Ten full pages, of which only three are made: bits are compared alone.
    const TestBlock full[] = {MakeBlock(layer, 256, 256, 0),
                              MakeBlock(layer, 256, 256, 256),
                              MakeBlock(layer, 256, 256, 512)};
    const TestBlock last = MakeBlock(layer, 256, 30, 2560);
    std::vector<KvBlock> views;
    for (int32_t page = 0; page < 10; ++page) {
      views.push_back(full[page % 3].block);
    }
    views.push_back(last.block);
    constexpr int32_t kRing = 40;
    const auto ring_memory =
        backend_->Allocate(backend_->PartialBytes(kRing)).value();
    const PartialRing ring = {ring_memory->data(), kRing};
    // One row alone is cut by chunks, many are not; more than the ring has.
    for (const int32_t rows : GetParam().emulated
                                  ? std::vector<int32_t>{1, 44}
                                  : std::vector<int32_t>{1, 7, 40, 100}) {
      for (const int32_t carried : {0, 3, 10}) {
        if (GetParam().emulated && carried == 10) continue;
        const Matrix q = Random(rows, 4.0);
        const DeviceRows uploaded = Upload(q);
        DeviceRows plain = NewRows(rows), carrying = NewRows(rows);
        WindowPart part = {0, rows, {&window.block, 1}, 100 - rows, views};
        backend_->AttendWindow(uploaded.rows(), {part}, plain.rows());
        part.carry = ring;
        part.first_query = 1234;
        part.carried_blocks = carried;
        backend_->AttendWindow(uploaded.rows(), {part}, carrying.rows());
        EXPECT_EQ(Download(carrying).values, Download(plain).values);
        if (carried == 0) continue;

        const int32_t kept = std::min(rows, kRing);
        const int64_t bytes = backend_->PartialBytes(kept);
        const auto loaded = backend_->Allocate(bytes).value();
        const auto made = backend_->Allocate(bytes).value();
        backend_->LoadPartial(ring, 1234 + rows - kept, kept, loaded->data());
        const DeviceRows kept_q = Upload(RowsOf(q, rows - kept, kept));
        backend_->ResetPartial(kept, made->data());
        for (int32_t page = 0; page < carried; ++page) {
          backend_->AccumulateAttention(kept_q.rows(), views[page],
                                        made->data());
        }
        EXPECT_EQ(Bytes(loaded.get()), Bytes(made.get()))
            << rows << " rows, " << carried << " blocks";
        // And back.
        backend_->StorePartial(made->data(), kept, ring, 77);
        backend_->LoadPartial(ring, 77, kept, loaded->data());
        EXPECT_EQ(Bytes(loaded.get()), Bytes(made.get()));
      }
    }
  }
}

// What lies in a block beyond its filled rows is never part of a result.
TEST_P(AttentionTest, RubbishBeyondTheRowsIsNotRead) {
  Make(72, 2, 100, 97);
  const TestLayer layer = MakeLayer();
  const TestBlock block = MakeBlock(layer, 64, 64, 0);
  const Matrix q = Random(20, 4.0);
  DeviceRows out = NewRows(20);
  const auto attend = [&](int32_t keys) {
    const KvBlock view = {block.block.data, 64, keys};
    backend_->Attend(Upload(q).rows(), view, out.rows());
    return Download(out).values;
  };
  const std::vector<double> before = attend(21);
  const Matrix huge = Matrix(43, n_embd());
  Matrix x = huge;
  for (double& value : x.values)
    value = std::numeric_limits<float>::quiet_NaN();
  std::vector<int32_t> positions(43, 5);
  std::vector<KvRow> places;
  for (int32_t row = 21; row < 64; ++row) {
    places.push_back({block.block.data, 64, row});
  }
  backend_->ProjectKv(layer.device, Upload(x).rows(), positions, places);
  EXPECT_EQ(attend(21), before);
}

INSTANTIATE_TEST_SUITE_P(All, AttentionTest, testing::ValuesIn(Backends()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tlin
