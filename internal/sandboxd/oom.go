package sandboxd

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// oomKills counts the processes that the kernel killed in this sandbox because its memory ran out: memory.events in the
// second version of control groups, memory.oom_control in the first, as the container runtime mounts them.
func oomKills(cgroup string) int64 {
	for _, file := range []string{"memory.events", "memory/memory.oom_control"} {
		data, err := os.ReadFile(filepath.Join(cgroup, file))
		if err == nil {
			return parseOOMKills(string(data))
		}
	}
	return 0
}

func parseOOMKills(text string) int64 {
	for line := range strings.Lines(text) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			n, _ := strconv.ParseInt(count, 10, 64)
			return n
		}
	}
	return 0
}
