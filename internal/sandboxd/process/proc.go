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

// below are the processes below pid, the dead ones that nobody has reaped included.
func below(entries []entry, pid int) []entry {
	byParent := map[int][]entry{}
	for _, e := range entries {
		byParent[e.parent] = append(byParent[e.parent], e)
	}
	var found []entry
	seen := map[int]bool{pid: true}
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		for _, e := range byParent[queue[0]] {
			if seen[e.pid] {
				continue
			}
			seen[e.pid] = true
			queue = append(queue, e.pid)
			found = append(found, e)
		}
	}
	return found
}
