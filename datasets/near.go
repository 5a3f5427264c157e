package datasets

// NearNames are up to three known names that are one slip of the pen, or a piece, away from name; the nearest first. It is what
// [Find] suggests, for names of other things.
func NearNames(name string, known []string) []string { return nearNames(name, known) }
