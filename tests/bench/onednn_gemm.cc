#include "tests/bench/onednn_gemm.h"

#include <vector>

namespace tlin {
namespace {

using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

Type TypeOf(DType dtype) {
  return dtype == DType::kF32 ? Type::f32 : Type::bf16;
}

dnnl::matmul::primitive_desc Plan(const dnnl::engine& engine, Type type,
                                  const GemmShape& shape, int64_t rows,
                                  const dnnl::memory::desc& weight) {
  const dnnl::memory::desc x({rows, shape.in}, type, Tag::ab);
  const dnnl::memory::desc y({rows, shape.out}, Type::f32, Tag::ab);
#if DNNL_VERSION_MAJOR < 3  // Debian 12
  return dnnl::matmul::primitive_desc(dnnl::matmul::desc(x, weight, y), engine);
#else
  return dnnl::matmul::primitive_desc(engine, x, weight, y);
#endif
}

// f32 values in the layout and type of `desc`.
dnnl::memory Reordered(std::vector<float> values, int64_t rows, int64_t cols,
                       const dnnl::memory::desc& desc,
                       const dnnl::engine& engine, dnnl::stream& stream) {
  dnnl::memory plain({{rows, cols}, Type::f32, Tag::ab}, engine, values.data());
  dnnl::memory memory(desc, engine);
  dnnl::reorder(plain, memory).execute(stream, plain, memory);
  stream.wait();
  return memory;
}

}  // namespace

bool OneDnnGemm::Supports(DType dtype) {
  try {
    OneDnnGemm(dtype, kPaperGemms[0], 1);
    return true;
  } catch (const dnnl::error&) {
    return false;
  }
}

OneDnnGemm::OneDnnGemm(DType dtype, const GemmShape& shape, int64_t rows,
                       int64_t packed_for)
    : engine_(dnnl::engine::kind::cpu, 0),
      stream_(engine_),
      y_size_(rows * shape.out) {
  const Type type = TypeOf(dtype);
  const dnnl::memory::desc any({shape.in, shape.out}, type, Tag::any);
  const auto packed =
      Plan(engine_, type, shape, packed_for, any).weights_desc();
  const auto plan = Plan(engine_, type, shape, rows, packed);
  x_ = Reordered(RandomFloats(rows * shape.in, 1), rows, shape.in,
                 plan.src_desc(), engine_, stream_);
  weight_ = Reordered(RandomFloats(shape.in * shape.out, 2), shape.in,
                      shape.out, packed, engine_, stream_);
  y_ = dnnl::memory(plan.dst_desc(), engine_);
  product_ = dnnl::matmul(plan);
}

void OneDnnGemm::Run() {
  product_.execute(
      stream_,
      {{DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, weight_}, {DNNL_ARG_DST, y_}});
  stream_.wait();
}

int64_t OneDnnGemm::weight_bytes() const {
  return static_cast<int64_t>(weight_.get_desc().get_size());
}

absl::Span<const float> OneDnnGemm::y() const {
  return {static_cast<const float*>(y_.get_data_handle()),
          static_cast<size_t>(y_size_)};
}

}  // namespace tlin
