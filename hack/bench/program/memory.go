package program

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Resident is how much memory of a process is in RAM, in bytes.
type Resident struct{ Now, Peak uint64 }

// residentOf reads what the kernel says of a process; see proc_pid_status(5).
func residentOf(pid int) (Resident, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Resident{}, fmt.Errorf("read the memory of a program: %w", err)
	}
	return parseResident(string(text))
}

func parseResident(status string) (Resident, error) {
	var r Resident
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		field := map[string]*uint64{"VmRSS": &r.Now, "VmHWM": &r.Peak}[name]
		if field == nil {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return Resident{}, fmt.Errorf("read the memory of a program: %w", err)
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
