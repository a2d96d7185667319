package sandboxd

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Install copies the running program into dir, as "sandboxd": whole or not at all.
func Install(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	from, err := os.Open(self)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := os.CreateTemp(dir, ".sandboxd-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(to.Name()) }()
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Chmod(0o755), to.Close()); err != nil {
		return err
	}
	return os.Rename(to.Name(), filepath.Join(dir, "sandboxd"))
}
