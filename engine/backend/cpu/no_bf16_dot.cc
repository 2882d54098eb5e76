// In place of the files with AVX512-BF16's instructions, where the build is not
// for x86-64.
#include "engine/backend/cpu/attention_kernels.h"
#include "engine/backend/cpu/gemm_kernels.h"

namespace tlin {

const GemmKernels* GemmBf16Dot() { return nullptr; }

const GemmKernels& FastestGemmBf16() { return GemmBf16(); }

const AttentionKernels& AttentionBf16Dot() { return AttentionBf16(); }

}  // namespace tlin
