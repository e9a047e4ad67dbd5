"""Speed of genkit against what it is compared with, measured on one machine in one sitting."""
