"""Claims about a suite's reference, judged from published results alone; plugins bring the judges."""
