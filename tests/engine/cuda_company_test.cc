// Among a few, on the emulated GPU.
#include "tests/engine/company_test.h"

namespace tlin {
namespace {

INSTANTIATE_TEST_SUITE_P(
    Emulated, CompanyTest,
    ::testing::Combine(::testing::Values(Architecture::kTLinFormer,
                                         Architecture::kTConstFormer,
                                         Architecture::kTransformer),
                       ::testing::Values(DType::kBF16), ::testing::Values(4)),
    CompanyName);

}  // namespace
}  // namespace tlin
