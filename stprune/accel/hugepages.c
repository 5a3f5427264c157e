//go:build linux && cgo && !noxla && !asan && !msan

// XLA takes the memory of a step's inner arrays, up to gigabytes in one piece, from posix_memalign when the step begins, and frees it at
// its end. The C library hands pieces beyond 32 MB back to the system, which then maps and clears each page of 4 KiB anew in every step;
// on a CPU that is a third of the time of a step of STID with 307 nodes. This posix_memalign, which a plugin finds before the C
// library's, asks for pages of 2 MiB for such pieces; Linux gives them where /sys/kernel/mm/transparent_hugepage/enabled says madvise or
// always. Everything else is the C library's: what it returns, and how that is freed.

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { huge_page = 2 << 20, least = 32 << 20 };

// Weak, so that a program may link an allocator of its own.
__attribute__((weak)) int posix_memalign(void** out, size_t alignment, size_t size) {
  if (alignment < sizeof(void*) || (alignment & (alignment - 1)) != 0) return EINVAL;
  const int huge = size >= least;
  if (huge && alignment < huge_page) alignment = huge_page;
  const int before = errno;  // it stays as it is
  void* p = memalign(alignment, size);
  if (p != NULL && huge) madvise(p, size, MADV_HUGEPAGE);
  errno = before;
  if (p == NULL) return ENOMEM;
  *out = p;
  return 0;
}
