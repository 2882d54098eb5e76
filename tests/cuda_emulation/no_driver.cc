// Has the name of NVIDIA's driver, which tlind looks for before it opens the
// CUDA backend; the emulated GPU needs none.
extern "C" int tlin_no_driver() { return 0; }
