package route

// overlaps tells whether one text may match both patterns: whether walking
// through both at once can reach both ends. A capture stands for one or more
// of any characters. Captures hold fewer in truth, so it errs on the side of
// yes.
func (p pattern) overlaps(q pattern) bool {
	a, b := p.steps(), q.steps()
	seen := make([]bool, (len(a)+1)*(len(b)+1))
	var walk func(i, j int) bool
	walk = func(i, j int) bool {
		if at := i*(len(b)+1) + j; seen[at] {
			return false
		} else {
			seen[at] = true
		}
		if i == len(a) || j == len(b) {
			return i == len(a) && j == len(b)
		}
		if a[i] != capture && b[j] != capture {
			return a[i] == b[j] && walk(i+1, j+1)
		}
		// One more character goes into each capture, which ends there or not.
		return walk(i+1, j+1) || a[i] == capture && walk(i, j+1) || b[j] == capture && walk(i+1, j)
	}
	return walk(0, 0)
}

// capture is the step that stands for a capture, others are bytes.
const capture = -1

func (p pattern) steps() (list []int) {
	for i, literal := range p.literals {
		if i > 0 {
			list = append(list, capture)
		}
		for j := range len(literal) {
			list = append(list, int(literal[j]))
		}
	}
	return list
}
