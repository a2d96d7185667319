package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Record is what is remembered of a start, so that the cluster can be found and ended without guessing.
type Record struct {
	// Network is where the cluster lives.
	Network Network `json:"network"`
	// Process is the node's process 1 as the machine sees it.
	Process Process `json:"process"`
	// Complete is set once the cluster was furnished with what pods need.
	Complete bool `json:"complete"`
	// Egress is pods' way to the outside network. Without one they reach the machine and one another.
	Egress *Egress `json:"egress,omitempty"`
}

// Egress is a way out for pods, through the machine.
type Egress struct {
	// Resolvers are asked for names outside of the cluster.
	Resolvers []netip.Addr `json:"resolvers"`
	// ForwardingWasOff says that the machine forwards packets for clusters only, and stops with the last of them.
	ForwardingWasOff bool `json:"forwardingWasOff"`
}

// Equal says whether both are the same to pods: closed, or open with the same resolvers.
func (e *Egress) Equal(other *Egress) bool {
	if e == nil || other == nil {
		return e == other
	}
	return slices.Equal(e.Resolvers, other.Resolvers)
}

// Process is a process that is never mistaken for another.
type Process struct {
	// PID is its number.
	PID int `json:"pid"`
	// Started is its start in clock ticks since the boot.
	Started uint64 `json:"started"`
	// Boot is the kernel's name of that boot.
	Boot string `json:"boot"`
}

// Identify describes a running process. The kernel uses process ids again; with the start and the boot they are unique.
func Identify(pid int) (Process, error) {
	boot, err := thisBoot()
	if err != nil {
		return Process{}, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	started, err := startOf(string(stat))
	return Process{PID: pid, Started: started, Boot: boot}, err
}

func thisBoot() (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("identify this boot: %w", err)
	}
	return strings.TrimSpace(string(boot)), nil
}

// Forgotten says whether the machine was started anew since, and so knows nothing of the process any more.
func (p Process) Forgotten() (bool, error) {
	boot, err := thisBoot()
	return boot != p.Boot, err
}

// Alive says whether the process still runs.
func (p Process) Alive() bool {
	now, err := Identify(p.PID)
	return err == nil && now == p
}

// Record returns what was recorded at the last start, and false if nothing was.
func (d Dir) Record() (Record, bool, error) {
	var r Record
	found, err := readJSON(d.record(), &r)
	return r, found, err
}

// SaveRecord remembers the node's process.
func (d Dir) SaveRecord(r Record) error { return writeJSON(d.record(), r) }

// Component is the state of one program of the node.
type Component struct {
	Name string `json:"name"`
	// PID is the process id as the node sees it.
	PID int `json:"pid"`
	// Ready is set once the component answered its health check at the start.
	Ready bool `json:"ready"`
	// Exit says how the component ended; empty while it runs.
	Exit string `json:"exit,omitempty"`
}

// Components returns the programs that were started, in that order.
func (d Dir) Components() ([]Component, error) {
	var list []Component
	_, err := readJSON(d.components(), &list)
	return list, err
}

// SaveComponents publishes the state of the node's programs.
func (d Dir) SaveComponents(list []Component) error { return writeJSON(d.components(), list) }

func readJSON(path string, into any) (found bool, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	return true, nil
}

// writeJSON replaces a file at once, so that nobody reads half of it.
func writeJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// errEnded says that a process ended and only waits for its parent to take notice.
var errEnded = errors.New("the process has ended")

// startOf reads the start time out of /proc/<pid>/stat (proc(5)) of a process that has not ended. The program's name may
// hold spaces and parentheses, so fields are counted from its last parenthesis.
func startOf(stat string) (uint64, error) {
	const state, startTime = 0, 19
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= startTime {
		return 0, fmt.Errorf("process status %q is too short", stat)
	}
	if fields[state] == "Z" || fields[state] == "X" {
		return 0, errEnded
	}
	return strconv.ParseUint(fields[startTime], 10, 64)
}
