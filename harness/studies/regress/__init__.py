"""Old against new: did it get worse?"""
