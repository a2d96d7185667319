package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// snapshot holds generated files by path.
type snapshot map[string]string

// readGenerated reads every generated file.
func readGenerated() (snapshot, error) {
	s := snapshot{}
	for _, dir := range []string{apiDir, crdDir, rbacDir} {
		if err := s.read(dir); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s snapshot) read(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() || !isGenerated(path) {
			return err
		}
		content, err := os.ReadFile(path)
		s[path] = string(content)
		return err
	})
}

// isGenerated tells generated files from the ones that people write beside them.
func isGenerated(path string) bool {
	switch filepath.Dir(path) {
	case crdDir:
		return true
	case rbacDir:
		return slices.ContainsFunc(programs, func(p program) bool { return p.file == filepath.Base(path) })
	}
	return strings.HasPrefix(filepath.Base(path), "zz_generated.") || strings.Contains(path, "/applyconfiguration/")
}

// restore puts the files back, as they were before they became after.
func (s snapshot) restore(after snapshot) error {
	for _, path := range s.changed(after) {
		content, existed := s[path]
		if !existed {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (s snapshot) compare(after snapshot) error {
	if stale := s.changed(after); len(stale) > 0 {
		return fmt.Errorf("stale, run `make generate`:\n  %s", strings.Join(stale, "\n  "))
	}
	return nil
}

// changed returns the sorted paths of files that differ, or are in one of the two only.
func (s snapshot) changed(after snapshot) []string {
	paths := maps.Clone(after)
	maps.Copy(paths, s)
	maps.DeleteFunc(paths, func(path, _ string) bool {
		old, existed := s[path]
		current, exists := after[path]
		return existed == exists && old == current
	})
	return slices.Sorted(maps.Keys(paths))
}
