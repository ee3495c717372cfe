package agent

import "golang.org/x/sys/unix"

// smallDisk is the part of a disk that is the most that is to be free on it.
const smallDisk = 50

// room is how many bytes are free on the disk of a folder for this process's user, and the most that may be wanted of
// it; 0 where that cannot be told.
func room(dir string) (free, most int64) {
	var disk unix.Statfs_t
	if unix.Statfs(dir, &disk) != nil {
		return 0, 0
	}
	size := int64(disk.Bsize)
	return int64(disk.Bavail) * size, int64(disk.Blocks) * size / smallDisk
}

// LacksRoom reports whether less than least bytes are free on the disk of a folder, or less than a fiftieth of a disk
// where that is less.
func LacksRoom(dir string, least int64) bool {
	free, most := room(dir)
	return free < min(least, most)
}
