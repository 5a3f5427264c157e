package method

// Probe is what a scoring model, trained on all units for a while, knows about them. A field is filled when the method's
// [Needs] name it. Errors are masked and z-scored. With several repeats all but the means over them are the first one's.
//
// The last layer of a backbone turns features h of a unit and node into the forecast of Q horizons by a linear map. Under the
// masked MAE its gradient for one unit is closed: the mean over valid (horizon, node) of sign(e)·onehot(horizon) ⊗ h. No
// backward pass is made for it.
type Probe struct {
	Loss  []float32 // [n] masked MAE after the last scoring epoch, in evaluation mode
	Error []float32 // [n] L2 norm of the error vector over √(valid entries) after the last scoring epoch, mean over repeats
	Norms []float32 // [n] L2 norm of the last layer's gradient as in Gradients, after the last scoring epoch, mean over repeats

	Trajectory [][]float32 // [epochs][n] masked MAE of each unit, in evaluation mode after each scoring epoch

	Features  Matrix // [n,F] the last layer's input, mean over nodes
	Gradients Matrix // [n,G] the last layer's gradient; projected at random to at most 2,048 columns, which keeps inner products on average
	Forecasts Matrix // [n,Q] z-scored forecast, mean over nodes
	Inputs    Matrix // [n,T] z-scored history, mean over nodes

	// Checkpoints are the gradients [n,G] at up to ten scoring epochs, evenly spread up to the last, each with its learning rate.
	Checkpoints []Checkpoint

	// Validation holds the last layer's gradients [m,G] of the validation windows, projected as Gradients.
	Validation Matrix

	LR float64 // learning rate in the middle of the last scoring epoch
}

// Checkpoint is a moment of the scoring model's training.
type Checkpoint struct {
	Gradients Matrix
	LR        float64
}

// Matrix is dense and row-major.
type Matrix struct {
	Rows, Cols int
	Data       []float32
}

// Row is a view of row i.
func (m Matrix) Row(i int) []float32 { return m.Data[i*m.Cols : (i+1)*m.Cols] }
