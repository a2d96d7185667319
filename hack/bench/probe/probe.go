// Package probe lets the benchmark look into a program that imports it: its live heap, its processor time and its profiles.
package probe

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"
)

// SocketEnv is the environment variable with the Unix socket on which the probe answers.
const SocketEnv = "SANDKEEP_BENCH_PROBE"

// Paths on which the probe answers.
const (
	PathUsage      = "/usage"
	PathHeap       = "/heap"
	PathGoroutines = "/goroutines"
	PathCPU        = "/cpu"
	PathCPUStart   = "/cpu/start"
	PathCPUStop    = "/cpu/stop"
)

// Usage is what the program uses.
type Usage struct {
	// LiveHeap is what garbage collections, which are made for this answer, left, in bytes.
	LiveHeap uint64 `json:"liveHeap"`
	// CPU is the processor time since the start.
	CPU time.Duration `json:"cpu"`
	// Goroutines is how many there are, those that answer this included.
	Goroutines int `json:"goroutines"`
}

func init() {
	socket := os.Getenv(SocketEnv)
	if socket == "" {
		return
	}
	listener, err := net.Listen("unix", socket) //nolint:noctx // it lives as long as the program
	if err != nil {
		panic(err)
	}
	go func() { panic((&http.Server{Handler: Handler(), ReadHeaderTimeout: time.Minute}).Serve(listener)) }()
}

// Handler answers on the paths of this package.
func Handler() http.Handler {
	mux := http.NewServeMux()
	cpu := &bytes.Buffer{}
	mux.HandleFunc(PathUsage, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(measure()) // who asked has gone
	})
	mux.HandleFunc(PathHeap, func(w http.ResponseWriter, _ *http.Request) {
		runtime.GC()
		answer(w, pprof.Lookup("heap").WriteTo(w, 0))
	})
	mux.HandleFunc(PathGoroutines, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, pprof.Lookup("goroutine").WriteTo(w, 1))
	})
	mux.HandleFunc(PathCPU, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(cpuTime()) // who asked has gone
	})
	mux.HandleFunc(PathCPUStart, func(w http.ResponseWriter, _ *http.Request) {
		cpu.Reset()
		answer(w, pprof.StartCPUProfile(cpu))
	})
	mux.HandleFunc(PathCPUStop, func(w http.ResponseWriter, _ *http.Request) {
		pprof.StopCPUProfile()
		_, _ = w.Write(cpu.Bytes()) // who asked has gone
	})
	return mux
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func measure() Usage {
	runtime.GC()
	runtime.GC() // pools keep what they hold over one collection
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return Usage{LiveHeap: memory.HeapAlloc, CPU: cpuTime(), Goroutines: runtime.NumGoroutine()}
}

func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err) // it fails for bad arguments only
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
