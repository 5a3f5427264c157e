//go:build linux && cgo && !noxla && !asan && !msan

// XLA takes the memory of a step's inner arrays, up to gigabytes in one piece, from posix_memalign when the step begins, and frees it at
// its end. The C library hands pieces beyond 32 MB back to the system, which then maps and clears all pages anew in every step; with
// pages of 4 KiB that is a third of the time of a step of STID with 307 nodes, with larger ones a tenth. The posix_memalign and the free
// here, which a plugin finds before the C library's, differ from those for such pieces only: they ask for pages of 2 MiB, which Linux
// gives where /sys/kernel/mm/transparent_hugepage/enabled says madvise or always, and keep one piece for the next step.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { huge_page = 2 << 20, least = 32 << 20 };

// What is kept has the size of the piece asked for last. At most one piece is kept, and none while another of its size is in use, so
// that it adds nothing to the most memory that steps take.
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static size_t last_size;
static int in_use; // pieces of last_size
static void* kept;

// The next library's free: the C library's, or that of an allocator loaded in its place.
static void release(void* p) {
  static _Atomic(void (*)(void*)) next;
  void (*f)(void*) = atomic_load_explicit(&next, memory_order_relaxed);
  if (f == NULL) {
    f = (void (*)(void*))dlsym(RTLD_NEXT, "free");
    if (f == NULL) return;
    atomic_store_explicit(&next, f, memory_order_relaxed);
  }
  f(p);
}

// Whether a piece of a usable size may be one of last_size: memalign leaves up to an alignment and a page at its end.
static int is_last(size_t usable) { return usable >= last_size && usable - last_size <= huge_page + (64 << 10); }

// A kept piece for a size, or NULL.
static void* take(size_t size) {
  pthread_mutex_lock(&mutex);
  void* p = kept;
  kept = NULL;
  const int fits = size == last_size;
  if (!fits) {
    last_size = size;
    in_use = 0;
  }
  in_use++;
  pthread_mutex_unlock(&mutex);
  if (fits) return p;
  release(p);
  return NULL;
}

// Weak, so that a program may link an allocator of its own.
__attribute__((weak)) int posix_memalign(void** out, size_t alignment, size_t size) {
  if (alignment < sizeof(void*) || (alignment & (alignment - 1)) != 0) return EINVAL;
  const int before = errno;  // it stays as it is
  const int huge = size >= least && alignment <= huge_page;
  void* p = NULL;
  if (huge) {
    alignment = huge_page;
    p = take(size);
  }
  if (p == NULL) {
    p = memalign(alignment, size);
    if (p != NULL && huge) madvise(p, size, MADV_HUGEPAGE);
  }
  errno = before;
  if (p == NULL) return ENOMEM;
  *out = p;
  return 0;
}

__attribute__((weak)) void free(void* p) {
  if (p == NULL || (uintptr_t)p % huge_page != 0) {
    release(p);
    return;
  }
  const size_t size = malloc_usable_size(p);
  if (size >= least) {
    pthread_mutex_lock(&mutex);
    if (is_last(size) && in_use > 0 && --in_use == 0) {
      kept = p;
      p = NULL;
    }
    pthread_mutex_unlock(&mutex);
  }
  if (p != NULL) release(p);
}
