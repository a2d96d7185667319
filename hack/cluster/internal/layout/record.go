package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Record identifies the process that is the node, so that it can be ended without guessing. A process id alone is used
// again by the kernel; together with the start time and the boot it is unique.
type Record struct {
	Slot    int    `json:"slot"`
	PID     int    `json:"pid"`
	Started uint64 `json:"started"`
	Boot    string `json:"boot"`
}

// NewRecord describes a running process.
func NewRecord(slot, pid int) (Record, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Record{}, fmt.Errorf("identify this boot: %w", err)
	}
	p, err := readProcess(pid)
	if err != nil {
		return Record{}, err
	}
	return Record{Slot: slot, PID: pid, Started: p.started, Boot: strings.TrimSpace(string(boot))}, nil
}

// Network is where the recorded cluster lives.
func (r Record) Network() Network { return Network{Slot: r.Slot} }

// Alive says whether the recorded process still runs.
func (r Record) Alive() bool {
	now, err := NewRecord(r.Slot, r.PID)
	if err != nil || now != r {
		return false
	}
	p, err := readProcess(r.PID)
	return err == nil && !p.ended
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

type process struct {
	started uint64
	ended   bool
}

func readProcess(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return parseStat(string(stat))
}

// parseStat reads the state and the start time out of /proc/<pid>/stat (proc(5)). The program's name may hold spaces and
// parentheses, so fields are counted from its last parenthesis.
func parseStat(stat string) (process, error) {
	const state, startTime = 0, 19
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= startTime {
		return process{}, fmt.Errorf("process status %q is too short", stat)
	}
	started, err := strconv.ParseUint(fields[startTime], 10, 64)
	return process{started: started, ended: fields[state] == "Z" || fields[state] == "X"}, err
}
