package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// entry is what /proc/<pid>/stat says of one process.
type entry struct {
	pid, parent int
	zombie      bool
}

// parseStat reads /proc/<pid>/stat. The program's name stands in parentheses and may hold anything, parentheses and spaces
// included, so fields are counted from the last one (proc(5)).
func parseStat(data []byte) (entry, bool) {
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return entry{}, false
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(data[:open])))
	fields := bytes.Fields(data[end+1:])
	if err != nil || len(fields) < 2 {
		return entry{}, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	state := string(fields[0])
	return entry{pid: pid, parent: parent, zombie: state == "Z" || state == "X"}, err == nil
}

// table is every process that can be seen.
func table() []entry {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	entries := make([]entry, 0, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile
		}
		if e, ok := parseStat(data); ok {
			entries = append(entries, e)
		}
	}
	return entries
}

// children are the direct children of pid, the dead ones included.
func children(pid int) []int {
	var pids []int
	for _, e := range table() {
		if e.parent == pid {
			pids = append(pids, e.pid)
		}
	}
	return pids
}

// descendants are the living processes below pid.
func descendants(pid int) []int { return below(table(), pid) }

// below is descendants for a given table. A dead parent is walked through: its children hang below it until it is reaped.
func below(entries []entry, pid int) []int {
	byParent := map[int][]entry{}
	for _, e := range entries {
		byParent[e.parent] = append(byParent[e.parent], e)
	}
	var alive []int
	seen := map[int]bool{pid: true}
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		for _, e := range byParent[queue[0]] {
			if seen[e.pid] {
				continue
			}
			seen[e.pid] = true
			queue = append(queue, e.pid)
			if !e.zombie {
				alive = append(alive, e.pid)
			}
		}
	}
	return alive
}
