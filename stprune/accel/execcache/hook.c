//go:build linux && cgo && !noxla

#include "pjrt.h"

#include <dlfcn.h>
#include <string.h>

#include "_cgo_export.h"

const PJRT_Api* execcache_open(const char* path) {
  // Never closed: the plugin stays as long as the process does, as in go-xla.
  void* library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
  const PJRT_Api* (*get)(void) = library ? (const PJRT_Api* (*)(void))dlsym(library, "GetPjrtApi") : NULL;
  return get ? get() : NULL;
}

// A compiler is told nothing but its arguments, so each table needs a function of its own.
#define COMPILE(slot) \
  static PJRT_Error* compile##slot(void* args) { return execcacheCompile(slot, args); }
COMPILE(0)
COMPILE(1)
COMPILE(2)
COMPILE(3)
static PJRT_Error* (*const compilers[execcache_slots])(void*) = {compile0, compile1, compile2, compile3};

void execcache_copy(PJRT_Api* to, const PJRT_Api* from, int slot) {
  memcpy(to, from, from->struct_size);
  to->functions[PJRT_Client_Compile] = (void*)compilers[slot];
}

PJRT_Error* execcache_call(const PJRT_Api* api, int function, void* args) {
  return ((PJRT_Error * (*)(void*)) api->functions[function])(args);
}

void execcache_destroy(const PJRT_Api* api, PJRT_Error* error) {
  PJRT_Error_Destroy_Args args = {sizeof args, NULL, error};
  ((void (*)(void*))api->functions[PJRT_Error_Destroy])(&args);
}

void execcache_free(void (*deleter)(void*), void* serialized) {
  if (deleter) deleter(serialized);
}
