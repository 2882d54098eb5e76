// Tests ask for more memory than there is: a null pointer is the answer wanted.
// Only linked into builds with -DTLIN_SANITIZE=address.
extern "C" const char* __asan_default_options() {
  return "allocator_may_return_null=1";
}
