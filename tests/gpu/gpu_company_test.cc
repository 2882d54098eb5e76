// Among many, on a GPU.
#include "tests/engine/company_test.h"

namespace tlin {
namespace {

INSTANTIATE_TEST_SUITE_P(
    Gpu, CompanyTest,
    ::testing::Combine(::testing::Values(Architecture::kTLinFormer,
                                         Architecture::kTConstFormer,
                                         Architecture::kTransformer),
                       ::testing::Values(DType::kF32, DType::kBF16),
                       ::testing::Values(32)),
    CompanyName);

}  // namespace
}  // namespace tlin
