// Values as Python writes them: the printed forms of modules and optimizers are PyTorch's.

/// `True` or `False`.
func python(_ flag: Bool) -> String { flag ? "True" : "False" }

/// The shortest digits that give the number back, `0.2`, `1e-08`, `1.0`. Swift's own rules are the same but for names.
func pythonFloat(_ number: Double) -> String { number.isNaN ? "nan" : "\(number)" }

/// The same for numbers that PyTorch's defaults give as a whole 0: `0`, `0.2`, `1.0`.
func pythonNumber(_ number: Double) -> String { number == 0 ? "0" : pythonFloat(number) }

/// A dimension for readers who count from `base`; negative ones count from the end for everybody.
func shifted(_ dimension: Int, _ base: Int) -> Int { dimension < 0 ? dimension : dimension + base }
