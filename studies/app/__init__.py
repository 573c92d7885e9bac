"""The pages of a listening study: participants' and organiser's. The only place that knows Streamlit."""
