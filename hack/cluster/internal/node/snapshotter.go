//go:build linux

package node

import (
	"syscall"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

// overlayMagic identifies an overlay file system, on which no second one can be stacked.
const overlayMagic = 0x794c7630

// snapshotter is how containerd stores the file systems of containers. Copying works everywhere, stacking is faster.
func snapshotter(dir layout.Dir) string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(string(dir), &fs); err == nil && fs.Type == overlayMagic {
		return "native"
	}
	return "overlayfs"
}
