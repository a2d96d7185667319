package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// resident is how much memory of a process is in RAM, in bytes.
type resident struct{ now, peak uint64 }

// residentOf reads what the kernel says of a process; see proc_pid_status(5).
func residentOf(pid int) (resident, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return resident{}, fmt.Errorf("read the memory of the manager: %w", err)
	}
	return parseResident(string(text))
}

func parseResident(status string) (resident, error) {
	var r resident
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		field := map[string]*uint64{"VmRSS": &r.now, "VmHWM": &r.peak}[name]
		if field == nil {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return resident{}, fmt.Errorf("read the memory of the manager: %w", err)
		}
		*field = kib << 10
	}
	return r, nil
}

// resetPeak makes the kernel forget the peak so far; see proc_pid_clear_refs(5). Where it does not know how, the peak is that
// since the start of the process, which is never lower.
func resetPeak(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}
