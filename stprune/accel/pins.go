package accel

// wheel pins one file of a PyPI wheel.
type wheel struct {
	Requirement string // as pip wants it
	Size        int64  // of the wheel, bytes
	SHA256      string // of the wheel
	Member      string // the plugin, inside the wheel
	MemberSize  int64  // bytes
	Folder      string // below the plugins folder
	Plugin      string // file name; "cpu" in it makes go-xla share buffers with the host
}

const (
	cpuFolder  = "cpu-0.11.2"
	cudaFolder = "cuda-0.11.2"
	goxlaDir   = "go-xla"
	cpuPlugin  = "pjrt_c_api_cpu_plugin.so"
)

// cpuWheel returns the pinned CPU plugin: XLA of jaxlib 0.11.2, PJRT C interface 0.115, Linux on x86-64, glibc 2.27 or newer.
func cpuWheel() wheel {
	return wheel{
		Requirement: "lammps-jax-pjrt-cpu==0.11.2",
		Size:        62711338,
		SHA256:      "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
		Member:      "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
		MemberSize:  201600336,
		Folder:      cpuFolder,
		Plugin:      cpuPlugin,
	}
}

// cudaRequirements returns what pip installs for CUDA 13. NVIDIA's libraries are those that the plugin asks for, by range.
func cudaRequirements() []string {
	return []string{"jax-cuda13-pjrt==0.11.2", "jax-cuda13-plugin[with-cuda]==0.11.2"}
}
