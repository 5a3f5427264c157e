package accel

// The CPU plugin: XLA of jaxlib 0.11.2, PJRT C interface 0.115.
const (
	cpuRequirement = "lammps-jax-pjrt-cpu==0.11.2"
	cpuWheelSHA256 = "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1"
	cpuWheelSize   = 62711338
	cpuMember      = "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so"
	cpuMemberSize  = 201600336
	cpuFolder      = "cpu-0.11.2"
	cpuPlugin      = "pjrt_c_api_cpu_plugin.so"
)

const cudaFolder = "cuda-0.11.2"
