//go:build linux && cgo && !noxla

package execcache

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "pjrt.h"
*/
import "C"

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/gomlx/go-xla/pjrt"
	"google.golang.org/protobuf/encoding/protowire"
)

// plugin is a loaded PJRT plugin.
type plugin struct {
	path     string
	api      *C.PJRT_Api // as the plugin gave it
	flags    string      // XLA's, when the plugin was opened
	identity string      // what executables depend on beside the program and the client
	attached atomic.Pointer[attached]
}

// attached is what serves a plugin's clients.
type attached struct {
	cache     *Cache
	overrides []Override
}

// plugins are those that have a compiler of ours, by its number.
var plugins [C.execcache_slots]atomic.Pointer[plugin]

// Attach has the plugin at path load what the cache holds, and keep there what it compiles, for all its clients in this process;
// and compile under the overrides. A nil cache keeps nothing. It must be called before go-xla loads the plugin; and not while
// anything else opens one, for go-xla's list of plugins, to which it adds, is not locked. An error leaves go-xla to load the plugin
// as ever.
func Attach(path string, cache *Cache, overrides ...Override) error {
	for i := range plugins {
		p := plugins[i].Load()
		if p != nil && p.path != path {
			continue
		}
		if p != nil {
			p.attached.Store(&attached{cache, overrides})
			return nil
		}
		if cache == nil && len(overrides) == 0 {
			return nil
		}
		p, err := open(path)
		if err != nil {
			return err
		}
		p.attached.Store(&attached{cache, overrides})
		plugins[i].Store(p)
		table := C.malloc(p.api.struct_size) // never freed: a plugin stays as long as the process
		C.execcache_copy((*C.PJRT_Api)(table), p.api, C.int(i))
		return pjrt.RegisterPreloadedPlugin(path, uintptr(table))
	}
	return fmt.Errorf("more than %d plugins in one process", len(plugins))
}

// open loads a plugin, and checks that its interface is the one that we know.
func open(path string) (*plugin, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	api := C.execcache_open(name)
	if api == nil {
		return nil, errors.New("the plugin can't be loaded")
	}
	needed := C.size_t(unsafe.Sizeof(*api)) + (C.PJRT_Client_TopologyDescription+1)*C.size_t(unsafe.Sizeof(uintptr(0)))
	if api.major_version != 0 || api.struct_size < needed {
		return nil, fmt.Errorf("the plugin's PJRT interface is %d.%d with %d bytes, want 0.x with at least %d", api.major_version, api.minor_version, api.struct_size, needed)
	}
	flags := strings.TrimSpace(os.Getenv("XLA_FLAGS"))
	if !strings.HasPrefix(flags, "-") { // XLA takes it for the name of a file with flags
		content, _ := os.ReadFile(flags) // without the file there are no flags
		flags += string(content)
	}
	identity, err := identity(path, flags)
	if err != nil {
		return nil, err
	}
	return &plugin{path: path, api: api, flags: flags, identity: fmt.Sprint(identity, " ", api.minor_version)}, nil
}

// identity describes the plugin's file, XLA's flags and the processor.
func identity(path, flags string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	cpu, err := processor()
	if err != nil {
		return "", err
	}
	// On the CPU, work is split among threads when it is compiled.
	return fmt.Sprintf("%q %d %d %q %q %d %q %q", path, info.Size(), info.ModTime().UnixNano(), flags, cpu,
		runtime.NumCPU(), os.Getenv("NPROC"), os.Getenv("PJRT_NPROC")), nil
}

// processor is the model and the features of the first processor, as Linux names them on x86 and ARM.
func processor() (string, error) {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	defer file.Close()
	var lines []string
	scanner := bufio.NewScanner(file)
	for scanner.Scan() && scanner.Text() != "" {
		switch name, _, _ := strings.Cut(scanner.Text(), "\t"); name {
		case "model name", "flags", "CPU implementer", "CPU part", "Features":
			lines = append(lines, scanner.Text())
		}
	}
	return strings.Join(lines, "\n"), scanner.Err()
}

// execcacheCompile stands in for PJRT_Client_Compile.
//
//export execcacheCompile
func execcacheCompile(slot C.int, pointer unsafe.Pointer) *C.PJRT_Error {
	p, args := plugins[slot].Load(), (*C.PJRT_Client_Compile_Args)(pointer)
	at := p.attached.Load()
	options := at.options(view(args.program.code, args.program.code_size), p.flags)
	if options == nil {
		return p.compile(args, at.cache)
	}
	given, size := args.compile_options, args.compile_options_size
	options = slices.Concat(view(given, size), options) // parts of a message one after the other are the message
	var pinned runtime.Pinner
	pinned.Pin(unsafe.SliceData(options))
	args.compile_options, args.compile_options_size = (*C.char)(unsafe.Pointer(unsafe.SliceData(options))), C.size_t(len(options))
	failure := p.compile(args, at.cache)
	args.compile_options, args.compile_options_size = given, size
	pinned.Unpin()
	if failure == nil {
		return nil
	}
	C.execcache_destroy(p.api, failure) // maybe a plugin that doesn't know the option
	return p.compile(args, at.cache)
}

// options encodes the overrides for a program as fields of xla.CompileOptionsProto; nil for none.
func (a *attached) options(program []byte, flags string) (encoded []byte) {
	name, isText := bytes.CutPrefix(bytes.TrimLeft(program, "\n"), []byte("module @"))
	for _, o := range a.overrides {
		if !isText || !bytes.HasPrefix(name, []byte(o.Prefix)) || strings.Contains(flags, "--"+o.Option) {
			continue
		}
		const overrides, key, value, text = 7, 1, 2, 1 // map<string, OptionOverrideProto> env_option_overrides; string_field
		field := func(to []byte, number protowire.Number, content []byte) []byte {
			return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), content)
		}
		entry := field(field(nil, key, []byte(o.Option)), value, field(nil, text, []byte(o.Value)))
		encoded = field(encoded, overrides, entry)
	}
	return encoded
}

// compile loads the executable from the cache, or has the plugin compile and keeps it. A nil cache has nothing.
func (p *plugin) compile(args *C.PJRT_Client_Compile_Args, cache *Cache) *C.PJRT_Error {
	if cache == nil {
		return C.execcache_call(p.api, C.PJRT_Client_Compile, unsafe.Pointer(args))
	}
	k, err := p.key(args)
	if err == nil {
		if stored := cache.load(k); stored != nil && p.load(args, stored) == nil {
			cache.loaded.Add(1)
			return nil
		}
	}
	cache.compiled.Add(1)
	if failure := C.execcache_call(p.api, C.PJRT_Client_Compile, unsafe.Pointer(args)); failure != nil {
		return failure
	}
	if err == nil {
		err = p.serialize(args.executable, func(executable []byte) error { return cache.store(k, executable) })
	}
	if err != nil {
		cache.failed(err)
	}
	return nil
}

// key is the hash of what the executable depends on.
func (p *plugin) key(args *C.PJRT_Client_Compile_Args) (k key, err error) {
	described := C.PJRT_Client_TopologyDescription_Args{struct_size: C.sizeof_PJRT_Client_TopologyDescription_Args, client: args.client}
	if err := p.call(C.PJRT_Client_TopologyDescription, unsafe.Pointer(&described)); err != nil {
		return k, err
	}
	version := C.PJRT_TopologyDescription_PlatformVersion_Args{struct_size: C.sizeof_PJRT_TopologyDescription_PlatformVersion_Args, topology: described.topology}
	if err := p.call(C.PJRT_TopologyDescription_PlatformVersion, unsafe.Pointer(&version)); err != nil {
		return k, err
	}
	devices := C.PJRT_TopologyDescription_Serialize_Args{struct_size: C.sizeof_PJRT_TopologyDescription_Serialize_Args, topology: described.topology}
	if err := p.call(C.PJRT_TopologyDescription_Serialize, unsafe.Pointer(&devices)); err != nil {
		return k, err
	}
	defer C.execcache_free(devices.serialized_topology_deleter, devices.serialized_topology)
	hash := sha256.New()
	for _, part := range [][]byte{
		[]byte(p.identity),
		view(version.platform_version, version.platform_version_size),
		view(devices.serialized_bytes, devices.serialized_bytes_size),
		view(args.program.format, args.program.format_size),
		view(args.program.code, args.program.code_size),
		view(args.compile_options, args.compile_options_size),
	} {
		hash.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(part))))
		hash.Write(part)
	}
	return key(hash.Sum(nil)), nil
}

// load has the plugin load a serialised executable in place of compiling.
func (p *plugin) load(args *C.PJRT_Client_Compile_Args, executable []byte) error {
	var pinned runtime.Pinner
	defer pinned.Unpin()
	pinned.Pin(unsafe.SliceData(executable))
	load := C.PJRT_Executable_DeserializeAndLoad_Args{struct_size: C.sizeof_PJRT_Executable_DeserializeAndLoad_Args, client: args.client,
		serialized_executable: (*C.char)(unsafe.Pointer(unsafe.SliceData(executable))), serialized_executable_size: C.size_t(len(executable))}
	err := p.call(C.PJRT_Executable_DeserializeAndLoad, unsafe.Pointer(&load))
	args.executable = load.loaded_executable
	return err
}

// serialize hands the bytes of a loaded executable to use.
func (p *plugin) serialize(loaded *C.PJRT_LoadedExecutable, use func([]byte) error) error {
	get := C.PJRT_LoadedExecutable_GetExecutable_Args{struct_size: C.sizeof_PJRT_LoadedExecutable_GetExecutable_Args, loaded_executable: loaded}
	if err := p.call(C.PJRT_LoadedExecutable_GetExecutable, unsafe.Pointer(&get)); err != nil {
		return err
	}
	destroy := C.PJRT_Executable_Destroy_Args{struct_size: C.sizeof_PJRT_Executable_Destroy_Args, executable: get.executable}
	defer p.call(C.PJRT_Executable_Destroy, unsafe.Pointer(&destroy))
	serialize := C.PJRT_Executable_Serialize_Args{struct_size: C.sizeof_PJRT_Executable_Serialize_Args, executable: get.executable}
	if err := p.call(C.PJRT_Executable_Serialize, unsafe.Pointer(&serialize)); err != nil {
		return err
	}
	defer C.execcache_free(serialize.serialized_executable_deleter, serialize.serialized_executable)
	return use(view(serialize.serialized_bytes, serialize.serialized_bytes_size))
}

// call calls one of the plugin's functions.
func (p *plugin) call(function C.int, args unsafe.Pointer) error {
	failure := C.execcache_call(p.api, function, args)
	if failure == nil {
		return nil
	}
	C.execcache_destroy(p.api, failure)
	return fmt.Errorf("the plugin refuses (function %d of its PJRT interface)", function)
}

// view is memory of C as a slice.
func view(data *C.char, size C.size_t) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(data)), size)
}
